"""Where annotated images are read from, and which of them cannot be decoded."""

from __future__ import annotations

import abc
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tfrobust.data.reading import readable
from tfrobust.data.telling import counted
from tfrobust.errors import DataError
from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import read_json
from tfrobust_scenarios.objects.selection import Annotated, Selection

BROKEN = "tfrobust_broken.json"  # in a source's folder: what `remember` keeps


class Source(abc.ABC):
    """Where annotated images come from; hashable, and another one when its data change.

    Attributes:
        folder: the folder of its files.
    """

    folder: Path

    @abc.abstractmethod
    def selection(self, max_instances: int, max_foreground: float) -> Selection:
        """Return the images that fit; see `fitting`."""

    @abc.abstractmethod
    def encoded(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return `(row, JPEG)` of some images, each once, always in the same order.

        Returns:
            Rows int64 `()`, which of `images`, and the content of their files, strings.
        """

    @abc.abstractmethod
    def in_order(self, images: Sequence[Annotated]) -> Sequence[Annotated]:
        """Return images in the order in which `encoded` brings them."""

    @abc.abstractmethod
    def stamp(self, name: str) -> int:
        """Return what changes when the image of this name does."""

    def pictures(self, images: Sequence[Annotated]) -> tf.data.Dataset:
        """Return `(row, picture)` of some images, in the order of `encoded`.

        Returns:
            Rows int64 `()`, and pictures uint8 `(height, width, 3)`. Reading one that cannot be
            decoded fails with its name.
        """
        names = tf.constant([image.name for image in images])

        def decoded(row: Any, encoded: Any) -> tuple[Any, Any]:
            # As stateless, it keeps running in parallel where training is deterministic.
            read = [encoded, names[row]]
            picture = tf.numpy_function(_decoded, read, tf.uint8, stateful=False)
            return row, tf.ensure_shape(picture, (None, None, 3))

        return self.encoded(images).map(decoded, num_parallel_calls=tf.data.AUTOTUNE)

    def broken(self, images: Sequence[Annotated]) -> list[str]:
        """Return the names of those that `pictures` cannot decode."""
        if not images:
            return []
        checked = self.encoded(images).map(
            lambda row, encoded: (row, tf.numpy_function(_decodes, [encoded], tf.bool)),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        looked = counted(
            readable(checked.as_numpy_iterator()), "looking for broken images", len(images)
        )
        rows = [row for row, well in looked if not well]
        return [images[row].name for row in sorted(rows)]

    def remember(self, broken: Iterable[str]) -> None:
        """Note in the folder which images are broken, beside those noted before.

        Raises:
            StoreError: the disk refuses.
        """
        names = sorted({*self.remembered(), *broken})
        file = self.folder / BROKEN
        if not names:
            file.unlink(missing_ok=True)
            return
        text = json.dumps({name: self.stamp(name) for name in names}, indent=1)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            atomic_write(file, lambda beside: beside.write_text(text, encoding="utf-8"))

    def remembered(self) -> frozenset[str]:
        """Return the names noted as broken of images that have not changed since."""
        try:
            noted = read_json(self.folder / BROKEN)
            return frozenset(name for name, stamp in noted.items() if stamp == self.stamp(name))
        except (OSError, ValueError, AttributeError):
            return frozenset()


def size_of(file: Path | io.BytesIO, name: str) -> tuple[int, int]:
    """Return height and width of an image in pixels, read from its header.

    Raises:
        DataError: it is no image.
    """
    try:
        with Image.open(file) as image:
            return image.height, image.width
    except Exception as error:  # Pillow raises half a dozen kinds
        raise DataError(f"{name}: broken") from error


def _decoded(encoded: bytes, name: bytes) -> np.ndarray:
    try:
        picture: np.ndarray = tf.io.decode_jpeg(encoded, channels=3).numpy()
    except tf.errors.OpError as error:
        raise DataError(
            f"{name.decode()}: broken; `tfrobust data prepare`, with these options, leaves it out"
        ) from error
    return picture


def _decodes(encoded: bytes) -> np.bool_:
    try:
        _decoded(encoded, b"")
    except DataError:
        return np.False_
    return np.True_
