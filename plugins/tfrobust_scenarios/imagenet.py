"""ImageNet (ILSVRC 2012): 1,281,167 training and 50,000 validation images of 1,000 classes.

Russakovsky et al., "ImageNet large scale visual recognition challenge" (2015). TensorFlow Datasets
prepares it as `imagenet2012`, from archives that only its owners may hand out. The official test
images have no labels, so the validation images are the split `test`. Classes are called by their
WordNet ids, as TensorFlow Datasets calls them: `n01440764`.

An image is scaled so that its shorter side has 256 pixels, bilinearly with antialiasing, and its
central 224×224 pixels are kept: Krizhevsky, Sutskever & Hinton, "ImageNet classification with deep
convolutional neural networks" (2012), section 2, with the crop of 224 of He et al., "Deep residual
learning for image recognition" (2016); torchvision evaluates the same way. Another `size` scales
both. A spare row or column of the crop's border is left out below or on the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.errors import DataError, UsageError
from tfrobust.options import option, plugin
from tfrobust.preparation import CentralCrop, Preparation, ShorterSide
from tfrobust.scenario import Prepared
from tfrobust.types import ImageShape
from tfrobust_scenarios.tfds import TfdsScenario
from tfrobust_scenarios.tfds_preparing import data_folder, prepared, stored_builder

_ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "test": "ILSVRC2012_img_val.tar"}
_SITE = "https://image-net.org/download-images"
_BORDER = 256 / 224  # the shorter side of the scaled image, by the side of the crop


@plugin
class Imagenet(TfdsScenario):
    """ImageNet (ILSVRC 2012), 1,000 classes; a manual download (Russakovsky et al. 2015)."""

    dataset = "imagenet2012"
    stored_splits: ClassVar[Mapping[str, str]] = {"train": "train", "test": "validation"}

    size: int = option("side of the images, in pixels", default=224, ge=1, le=4096)

    @property
    def image_shape(self) -> ImageShape:
        """Square, colour."""
        return self.size, self.size, 3

    @property
    def preparation(self) -> Preparation:
        """The shorter side scaled, and the middle of that; see `Scenario`."""
        steps = (
            ShorterSide(pixels=round(self.size * _BORDER)),
            CentralCrop(height=self.size, width=self.size),
        )
        return Preparation(channels=3, steps=steps, dct="tensorflow")

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`; only one of them where only its archive was prepared."""
        stored = stored_builder(self.dataset).info.splits
        return tuple(
            split for split, name in self.stored_splits.items() if not stored or name in stored
        )

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Prepare the dataset from the archives in `TFDS_DATA_DIR/downloads/manual`.

        Raises:
            UsageError: an archive is given: there are two.
            DataError: the archives are not there, or cannot be read.
        """
        if archive or sha256:
            raise UsageError(
                "imagenet: has an archive for each split; leave out --archive and --sha256, and "
                f"put {' and '.join(_ARCHIVES.values())} into {_manual_folder()}"
            )
        there = any((_manual_folder() / name).is_file() for name in _ARCHIVES.values())
        if not there and not stored_builder(self.dataset).info.splits:
            raise DataError(_how_to_prepare())
        builder = prepared(self.dataset, manual=True)
        sizes = {name: int(split.num_examples) for name, split in builder.info.splits.items()}
        return Prepared(Path(builder.data_dir), sizes)

    def _stored(self) -> Any:
        """Return the prepared dataset; reading 150 GB of archives is no side effect of a load."""
        builder = stored_builder(self.dataset)
        if not builder.info.splits:
            raise DataError(_how_to_prepare())
        return builder

    def _as_image(self, picture: Any) -> Any:
        """Return the central square of a scaled picture."""
        size, shorter = self.size, round(self.size * _BORDER)
        sides = tf.shape(picture)[:2]
        scaled_sides = sides * shorter // tf.reduce_min(sides)
        scaled = tf.image.resize(picture, scaled_sides, antialias=True)
        square = tf.image.resize_with_crop_or_pad(scaled, size, size)
        return tf.clip_by_value(tf.ensure_shape(square, self.image_shape) / 255.0, 0.0, 1.0)


def _manual_folder() -> Path:
    return data_folder() / "downloads" / "manual"


def _how_to_prepare() -> str:
    return (
        f"imagenet2012 is not prepared in {data_folder()}: log in at {_SITE}, download "
        f"{_ARCHIVES['test']} (for the split test) and {_ARCHIVES['train']} (for train) into "
        f"{_manual_folder()}, and run tfrobust data prepare imagenet; or set TFDS_DATA_DIR to "
        "where it is prepared"
    )
