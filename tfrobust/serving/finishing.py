"""What is done to a written SavedModel before its folder gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.python.saved_model import fingerprinting_utils

from tfrobust.serving.model_card import README
from tfrobust.serving.signatures import CLASSIFY
from tfrobust.serving.warmup import write_warmup
from tfrobust.types import ImageShape

_METHOD = tf.compat.v1.saved_model.signature_constants.CLASSIFY_METHOD_NAME


def finish(
    folder: Path,
    name: str,
    image_shape: ImageShape,
    *,
    classify: bool,
    warmup: Sequence[int],
    readme: str,
) -> None:
    """Name the method of the signature `classify`, and write warm-up requests and the model card.

    Args:
        folder: of the SavedModel.
        name: by which it is to be served.
        image_shape: of its images.
        classify: whether it has that signature.
        warmup: batch sizes; none: no requests are written.
        readme: the model card, in Markdown.
    """
    (folder / README).write_text(readme, encoding="utf-8")
    if classify:  # `tf.saved_model.save` calls the method of every signature "predict"
        updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
        updater.replace_method_name(CLASSIFY, _METHOD)
        updater.save()
        fingerprinting_utils.write_fingerprint(str(folder))
    if warmup:
        write_warmup(folder, name, image_shape, warmup)
