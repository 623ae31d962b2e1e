"""A learned attack as a SavedModel: images in, adversarial images out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack, RegionalAttack
from tfrobust.classifier import Classifier
from tfrobust.engine.learning import Learned, LearningAttack
from tfrobust.errors import PluginError, UsageError
from tfrobust.files.atomic import atomic_folder, made_before
from tfrobust.registry import name_of, signature
from tfrobust.store.layout import check_place
from tfrobust.store.new_versions import claimed_version
from tfrobust.types import Images, Logits


def export_learned(
    ready: Learned,
    image_shape: Sequence[int],
    folder: Path | str,
    *,
    note: Path | None = None,
) -> Path:
    """Write a SavedModel that attacks images without a classifier; only TensorFlow is needed.

    Args:
        ready: the attack and what it has learned.
        image_shape: `(height, width, channels)` of the images.
        folder: the version folder to make, such as `served/gap/1`.
        note: see `tfrobust.files.atomic.atomic_folder`.

    Returns:
        The folder. Its signature `serving_default` takes `images`, float32 `(batch, height, width,
        channels)` in [0, 1], and returns `adversarial`, the same shape.

    Raises:
        UsageError: the attack is confined to a region, and a SavedModel is given no boxes.
        StoreError: the folder exists already, or the disk refuses.

    Example:
        >>> ready = learned(create("attacks", "gap"), classifier, images, labels)
        >>> export_learned(ready, classifier.image_shape, "served/gap/1")
    """
    check_exportable(ready.wrapped)
    folder = Path(folder)
    check_place(folder, serves="adversarial")
    module = _Attacking(ready, image_shape)
    spec = tf.TensorSpec((None, *image_shape), tf.float32, name="images")
    with atomic_folder(folder, new=True, note=note) as temporary:
        serve = tf.function(module.attacked, input_signature=[spec])
        tf.saved_model.save(module, str(temporary), {"serving_default": serve})
    return folder


def export_next(ready: Learned, finished: Path, *, image_shape: Sequence[int], home: Path) -> None:
    """Write the next version of a SavedModel, unless an interrupted run has written it already.

    Args:
        ready: the attack and what it has learned.
        finished: the folder where an unfinished run notes what it has done.
        image_shape: `(height, width, channels)` of the images.
        home: of the versions, such as `served/gap`.

    Raises:
        UsageError, StoreError: as `export_learned`.
    """
    note = export_note(ready, finished)
    if made_before(note, home) is None:
        with claimed_version(home) as folder:
            export_learned(ready, image_shape, folder, note=note)


def export_note(ready: Learned, folder: Path) -> Path:
    """Return the file that notes where a learned attack was exported to.

    See `tfrobust.files.atomic.atomic_folder`. Other options, or other learned arrays, have another
    note.
    """
    content = hashlib.sha256(repr(sorted(signature(ready.wrapped).items())).encode())
    for name, array in sorted(ready.arrays.items()):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return folder / f"exported-{content.hexdigest()[:32]}.json"


def check_exportable(attack: Attack, folder: Path | None = None) -> LearningAttack:
    """Return an attack that can be exported; refuse another one before it is run.

    Args:
        attack: with its options.
        folder: where the export is to go.

    Raises:
        UsageError: it learns nothing, or attacks a region only; the folder is a file.
    """
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UsageError(f"export: expected a folder; received: {folder}, a file")
    if not isinstance(attack, LearningAttack):
        raise UsageError(
            f"export: expected an attack that learns something to apply; received: "
            f"{name_of(attack)}, which looks at the classifier for each image"
        )
    if attack.needs_boxes:
        raise UsageError(
            f"{name_of(attack)}: region: an exported attack is given no boxes; expected all, "
            f"received: {attack.region if isinstance(attack, RegionalAttack) else None}"
        )
    return attack


class _Attacking(tf.Module):
    """Applies a learned attack."""

    def __init__(self, ready: Learned, image_shape: Sequence[int]) -> None:
        super().__init__()
        self._attack, self._absent = ready.wrapped, _Absent(image_shape)
        self.learned = {
            name: tf.Variable(value, trainable=False)
            for name, value in ready.arrays.items()
            if np.issubdtype(value.dtype, np.number)
        }

    def attacked(self, images: Images) -> dict[str, Any]:
        labels = tf.zeros(tf.shape(images)[:1], tf.int64)
        learned = {name: tf.convert_to_tensor(array) for name, array in self.learned.items()}
        adversarial = self._attack.apply(learned, self._absent, images, labels, seed=0)
        return {"adversarial": adversarial}


class _Absent(Classifier):
    """The classifier that an exported attack does not have."""

    def __init__(self, image_shape: Sequence[int]) -> None:
        height, width, channels = image_shape
        super().__init__(image_shape=(height, width, channels), num_classes=1, differentiable=False)

    def __call__(self, images: Images) -> Logits:
        """Refuse.

        Raises:
            PluginError: always.
        """
        raise PluginError("the attack asks the classifier when it is applied: it has no export")
