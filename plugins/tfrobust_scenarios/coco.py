"""COCO as a classification of objects in their surroundings.

An image is taken if all its objects are of one category, at most `max_instances` of them, none a
crowd, and their boxes cover at most `max_foreground` of it. It is scaled to `size` along its
shorter side and cropped about the middle; one whose object is lost by that is left out.

Lin et al., "Microsoft COCO: common objects in context" (2014); the selection is that of Akumalla,
Haney & Bazhenov, "Contextual fusion for adversarial robustness" (2020), section 2.2. Departures:
which images are for the test is drawn by `seed`, class by class; the paper does not say.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from PIL import Image

from tfrobust.boxes import cropped
from tfrobust.errors import DataError, UsageError, did_you_mean
from tfrobust.options import option, plugin
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.coco_annotations import Annotated, Selection, selected

_LAYOUT = "expected ROOT/annotations/instances_*.json, and an image folder beside for each"
_SPLITS = ("train", "test")
_FEW = 8  # classes of a test set of similar or dissimilar ones, as in the paper


@plugin
class Coco(Scenario):
    """Objects of COCO in their surroundings, with boxes (Lin et al. 2014)."""

    path: Path | None = option("the root folder, in the official layout", default=None)
    classes: int | str | tuple[str, ...] | None = option(
        "so many of the most frequent, or names with commas between; none: all",
        default=None,
    )
    max_instances: int = option("objects an image", default=2, ge=1)
    max_foreground: float = option("share of the image that boxes cover", default=0.5, gt=0, le=1)
    supercategories: Literal["similar", "dissimilar"] | None = option(
        "test images of 8 classes of one supercategory, or each of another; none: of all classes",
        default=None,
    )
    size: int = option("side of the images", default=224, ge=1, le=4096)
    test_share: float = option("of each class", default=0.25, gt=0, lt=1)
    seed: int = option("of the split, and of the choice of supercategories", default=0, ge=0)
    strict: bool = option("refuse missing images, and do not leave them out", default=False)

    @property
    def image_shape(self) -> ImageShape:
        """Square, colour."""
        return self.size, self.size, 3

    @property
    def class_names(self) -> tuple[str, ...]:
        """COCO's, the most frequent first unless they were named."""
        return _classes(self._found, self.classes)

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`."""
        return _SPLITS

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Look through the folder, which is read as it is: what fits, and what of it is broken.

        Raises:
            UsageError: it takes no archive.
            DataError: an image is missing or broken, where `strict`.
        """
        if archive or sha256:
            raise UsageError("coco: is read from its folder; pass -p coco.path=FOLDER")
        images = {split: self._split(split) for split in _SPLITS}
        broken = [each.file for part in images.values() for each in part if not _whole(each.file)]
        skipped = (*self._found.missing, *(f"{file}: broken" for file in broken))
        if strict and skipped:
            raise DataError(skipped[0])
        sizes = {split: len(part) for split, part in images.items()}
        return Prepared(Path(self.path or ""), sizes, skipped)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split with `boxes` `(n, 4)`, in a drawn order; see `Scenario.load`.

        Raises:
            DataError: no such folder, or nothing in it fits.
            UsageError: a class it does not have.
        """
        images = self._split(split)
        names = self.class_names
        if not images:
            raise DataError(f"{self.path}: no images of split {split!r} fit the options")
        most = max(len(each.boxes) for each in images)
        boxes = np.zeros((len(images), most, 4), np.float32)
        for row, each in zip(boxes, images, strict=True):
            row[: len(each.boxes)] = each.boxes
        counts = [len(each.boxes) for each in images]
        labels = np.array([names.index(each.category) for each in images], np.int64)
        slices = tf.data.Dataset.from_tensor_slices(
            ([str(each.file) for each in images], labels, boxes, counts)
        )
        return slices.map(self._read, num_parallel_calls=tf.data.AUTOTUNE)

    def _read(self, file: Any, label: Any, boxes: Any, count: Any) -> dict[str, Any]:
        image = tf.io.decode_jpeg(tf.io.read_file(file), channels=3)
        image = tf.image.convert_image_dtype(image, tf.float32)
        side = tf.minimum(tf.shape(image)[0], tf.shape(image)[1])
        square = tf.image.resize_with_crop_or_pad(image, side, side)
        resized = tf.image.resize(square, (self.size, self.size), antialias=True)
        return {
            "image": tf.clip_by_value(resized, 0.0, 1.0),
            "label": label,
            "boxes": boxes[:count],
        }

    @property
    def _found(self) -> Selection:
        if self.path is None:
            raise DataError(f"coco: which folder? pass -p coco.path=FOLDER; {_LAYOUT}")
        annotations = tuple(sorted((self.path / "annotations").glob("instances_*.json")))
        if not annotations:
            raise DataError(f"{self.path}: no annotations in it; {_LAYOUT}")
        found = _selected(self.path, annotations, self.max_instances, self.max_foreground)
        if self.strict and found.missing:
            raise DataError(found.missing[0])
        return found

    def _split(self, split: str) -> list[Annotated]:
        """Return the images of one split; each class is split by itself."""
        found, random, chosen = self._found, np.random.default_rng(self.seed), []
        for name in self.class_names:
            images = [each for each in found.images if each.category == name]
            order = random.permutation(len(images))
            test = max(1, round(self.test_share * len(images)))
            part = order[:test] if split == "test" else order[test:]
            chosen += [images[k] for k in part]
        if split == "test" and self.supercategories:
            few = self._few(found)
            chosen = [each for each in chosen if each.category in few]
        chosen = [each for each in map(_squared, chosen) if len(each.boxes)]
        return [chosen[k] for k in random.permutation(len(chosen))]

    def _few(self, found: Selection) -> set[str]:
        """Return the classes of a test set of similar or dissimilar ones."""
        random = np.random.default_rng(self.seed)
        of: dict[str, list[str]] = {}
        for name in self.class_names:
            of.setdefault(found.supercategories[name], []).append(name)
        if self.supercategories == "similar":
            most = max(of.values(), key=len)
            return {most[k] for k in random.permutation(len(most))[:_FEW]}
        drawn = [names[random.integers(len(names))] for names in of.values()]
        return {drawn[k] for k in random.permutation(len(drawn))[:_FEW]}


def _whole(file: Path) -> bool:
    """Tell whether an image can be decoded."""
    try:
        with Image.open(file) as image:
            image.load()
    except Exception:  # Pillow raises half a dozen kinds
        return False
    return True


def _squared(image: Annotated) -> Annotated:
    """Return an image with its boxes as its middle square has them."""
    return image.with_boxes(cropped(image.boxes, _middle(image.height, image.width)))


def _middle(height: int, width: int) -> np.ndarray:
    """Return the middle square, cut as TensorFlow cuts it: the spare pixel is below or right."""
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return np.array([top, left, top + side, left + side]) / [height, width, height, width]


def _classes(found: Selection, wanted: int | str | Sequence[str] | None) -> tuple[str, ...]:
    counts = Counter(each.category for each in found.images)
    frequent = sorted(counts, key=lambda name: (-counts[name], name))
    if wanted is None or isinstance(wanted, int) or (isinstance(wanted, str) and wanted.isdigit()):
        count = len(frequent) if wanted is None else int(wanted)
        if not 2 <= count <= len(frequent):
            raise UsageError(
                f"coco: classes: expected 2 to {len(frequent)}, which have images that fit; "
                f"received: {count}"
            )
        return tuple(frequent[:count])
    listed = wanted.split(",") if isinstance(wanted, str) else wanted
    named = tuple(each.strip() for each in listed if each.strip())
    for name in named:
        if name not in counts:
            raise UsageError(
                f"coco: no class {name!r} with images that fit{did_you_mean(name, frequent)}"
            )
    if len(named) < 2 or len(set(named)) < len(named):
        raise UsageError(f"coco: classes: expected two or more, each once; received: {wanted!r}")
    return named


@functools.lru_cache(maxsize=8)
def _selected(
    root: Path, annotations: tuple[Path, ...], max_instances: int, max_foreground: float
) -> Selection:
    return selected(root, annotations, max_instances, max_foreground)
