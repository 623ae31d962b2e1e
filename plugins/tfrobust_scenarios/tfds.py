"""TensorFlow Datasets, prepared in `TFDS_DATA_DIR`; what is not there is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.errors import UsageError
from tfrobust.options import plugin
from tfrobust.preparation import Preparation
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape
from tfrobust_scenarios.tfds_preparing import prepared, stored_builder
from tfrobust_scenarios.tfds_rows import stored_count, stored_records


class TfdsScenario(Scenario):
    """A classification dataset of TensorFlow Datasets with 8-bit images of one size.

    Attributes:
        dataset: its name there.
        shape: of its images.
        label: the feature that holds the class.
        stored_splits: split → its name there.
    """

    dataset: ClassVar[str]
    shape: ClassVar[ImageShape]
    label: ClassVar[str] = "label"
    stored_splits: ClassVar[Mapping[str, str]] = {"train": "train", "test": "test"}

    @property
    def image_shape(self) -> ImageShape:
        """The size all its images share."""
        return self.shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names TensorFlow Datasets gives."""
        return tuple(stored_builder(self.dataset).info.features[self.label].names)

    @property
    def preparation(self) -> Preparation | None:
        """Pictures are decoded as TensorFlow Datasets does; see `Scenario`."""
        plain = super().preparation
        return plain and plain.model_copy(update={"dct": "tensorflow"})

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`."""
        return tuple(self.stored_splits)

    def prepare(
        self, archive: Path | None = None, *, sha256: str | None = None, strict: bool = False
    ) -> Prepared:
        """Download and prepare the dataset, by TensorFlow Datasets' own checksums.

        Raises:
            UsageError: it takes no archive.
            DataError: it cannot be downloaded.
        """
        if archive or sha256:
            raise UsageError(
                f"{self.dataset}: TensorFlow Datasets downloads it by itself; leave out --archive "
                "and --sha256"
            )
        builder = prepared(self.dataset)
        sizes = {name: int(split.num_examples) for name, split in builder.info.splits.items()}
        return Prepared(Path(builder.data_dir), sizes)

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split, downloading the dataset where it is not prepared.

        Raises:
            DataError: it is not prepared and cannot be downloaded.
        """
        return self._examples(stored_records(self._stored(), self.stored_splits[split]))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of a split; the shards before them are not opened."""
        name = self.stored_splits[split]
        return self._examples(stored_records(self._stored(), name, (start, stop)))

    def count(self, split: str) -> int | None:
        """Return how many images a split has, if it is prepared."""
        return stored_count(stored_builder(self.dataset), self.stored_splits[split])

    def _stored(self) -> Any:
        """Return the builder of the prepared dataset."""
        return prepared(self.dataset)

    def _examples(self, records: tf.data.Dataset) -> tf.data.Dataset:
        def as_example(features: dict[str, Any]) -> dict[str, Any]:
            label = tf.cast(features[self.label], tf.int64)
            return {"image": self._as_image(features["image"]), "label": label}

        return records.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)

    def _as_image(self, picture: Any) -> Any:
        """Return a stored picture, uint8, as an image."""
        return tf.cast(picture, tf.float32) / 255.0


@plugin
class Mnist(TfdsScenario):
    """MNIST: 28×28 grey digits, 60,000 + 10,000 (LeCun et al. 1998)."""

    dataset, shape = "mnist", (28, 28, 1)


@plugin
class FashionMnist(TfdsScenario):
    """Fashion-MNIST: 28×28 grey clothes, 60,000 + 10,000 (Xiao, Rasul & Vollgraf 2017)."""

    dataset, shape = "fashion_mnist", (28, 28, 1)


@plugin
class Cifar10(TfdsScenario):
    """CIFAR-10: 32×32 colour, 10 classes, 50,000 + 10,000 (Krizhevsky 2009)."""

    dataset, shape = "cifar10", (32, 32, 3)


@plugin
class Cifar100(TfdsScenario):
    """CIFAR-100: 32×32 colour, 100 classes, 50,000 + 10,000 (Krizhevsky 2009)."""

    dataset, shape = "cifar100", (32, 32, 3)


@plugin
class Svhn(TfdsScenario):
    """SVHN, cropped: 32×32 house numbers, 73,257 + 26,032 (Netzer et al. 2011)."""

    dataset, shape = "svhn_cropped", (32, 32, 3)
