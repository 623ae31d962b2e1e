"""Datasets by way of TensorFlow Datasets.

`TFDS_DATA_DIR` says where prepared datasets lie; what is not there is downloaded and prepared.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
import socket
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.errors import DataError, StoreError, UsageError, one_line
from tfrobust.files.atomic import disk_errors
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.options import plugin
from tfrobust.scenario import Prepared, Scenario
from tfrobust.types import ImageShape


class TfdsScenario(Scenario):
    """A classification dataset of TensorFlow Datasets with 8-bit images of one size.

    Attributes:
        dataset: its name there.
        shape: of its images.
        label: the feature that holds the class.
        classes: one name a class; asked of TensorFlow Datasets where this is empty.
    """

    dataset: ClassVar[str]
    shape: ClassVar[ImageShape]
    label: ClassVar[str] = "label"

    @property
    def image_shape(self) -> ImageShape:
        """The size all its images share."""
        return self.shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names TensorFlow Datasets gives."""
        return tuple(_builder(self.dataset).info.features[self.label].names)

    @property
    def splits(self) -> tuple[str, ...]:
        """`train` and `test`."""
        return "train", "test"

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
        builder = prepared(self.dataset)
        dataset = builder.as_dataset(split=split, shuffle_files=False)

        def as_example(features: dict[str, Any]) -> dict[str, Any]:
            image = tf.cast(features["image"], tf.float32) / 255.0
            return {"image": image, "label": tf.cast(features[self.label], tf.int64)}

        return dataset.map(as_example, num_parallel_calls=tf.data.AUTOTUNE)


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


def data_folder() -> Path:
    """Return the folder of prepared datasets."""
    import tensorflow_datasets as tfds  # reads TFDS_DATA_DIR only once, when it is imported

    return Path(os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR)


def newest_version(name: str) -> Path | None:
    """Return the folder of a dataset's newest version that is prepared, if there is one.

    Args:
        name: with its configuration, where it has any: `coco/2017`.
    """
    import tensorflow_datasets as tfds

    home = data_folder() / name
    files = home.glob("*/dataset_info.json")
    version = tfds.core.Version
    folders = [file.parent for file in files if version.is_valid(file.parent.name)]
    return max(folders, key=lambda folder: version(folder.name), default=None)


def _builder(name: str) -> Any:
    return _builder_in(name, os.environ.get("TFDS_DATA_DIR"))


@functools.cache
def _builder_in(name: str, folder: str | None) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder(name, data_dir=folder)


def prepared(name: str) -> Any:
    """Return the builder of a dataset, downloaded and prepared where it is not.

    Raises:
        DataError: it cannot be.
    """
    builder = _builder(name)
    if builder.info.splits:  # known only once it is prepared
        return builder
    try:
        _check_network(builder)
        with (
            preparing(Path(builder.data_dir).parent),
            contextlib.redirect_stdout(io.StringIO()),
            bars_for_people(),
        ):
            builder.download_and_prepare()
    except StoreError:
        raise
    except Exception as error:  # the network, the disk, a checksum: all end here
        raise DataError(
            f"{name} is not in {builder.data_dir} and cannot be downloaded "
            f"({type(error).__name__}: {one_line(error, 120)}); "
            "set TFDS_DATA_DIR to where it is prepared, or connect to the network"
        ) from error
    return builder


@contextlib.contextmanager
def preparing(home: Path, *more: str) -> Iterator[None]:
    """Let one process prepare a dataset at a time, and remove what one that was killed has left.

    No empty folder stays behind.

    Args:
        home: of the dataset's versions.
        *more: further patterns of leftovers; those of TensorFlow Datasets are known.

    Raises:
        StoreError: another process is at it, or the disk refuses.
    """
    busy = f"{home}: another process is preparing it; wait until it is done"
    with contextlib.ExitStack() as held:
        with disk_errors(home):
            held.enter_context(made_folder(home))
            held.callback(_remove_empty, home)
            held.enter_context(alone(home / LOCK, busy))
        _remove_incomplete(home, *more)
        held.callback(_remove_incomplete, home, *more)  # of this process, if it is interrupted
        yield


def _remove_incomplete(home: Path, *more: str) -> None:
    for pattern in ("incomplete.*", *more):
        for left in home.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _remove_empty(home: Path) -> None:
    downloads = home.parent / "downloads"  # TensorFlow Datasets makes it, used or not
    for folder in (home, downloads / "extracted", downloads):
        with contextlib.suppress(OSError):  # not there, or not empty
            folder.rmdir()


@contextlib.contextmanager
def bars_for_people() -> Iterator[None]:
    """Keep the progress bars of TensorFlow Datasets out of files and pipes."""
    import tensorflow_datasets as tfds

    if sys.stderr.isatty():
        yield
        return
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        tfds.enable_progress_bar()


def _check_network(builder: Any) -> None:
    """Resolve the hosts first: without a network, TensorFlow Datasets retries for minutes.

    Raises:
        OSError: a host is unknown.
    """
    if urllib.request.getproxies():
        return  # the proxy resolves them
    for host in {urllib.parse.urlsplit(address).hostname for address in builder.url_infos}:
        socket.getaddrinfo(host, None)
