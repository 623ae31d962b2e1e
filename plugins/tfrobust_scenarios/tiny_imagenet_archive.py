"""The official archive of Tiny ImageNet, read without being extracted.

    tiny-imagenet-200/wnids.txt, words.txt
    tiny-imagenet-200/train/WNID/WNID_boxes.txt, images/*.JPEG
    tiny-imagenet-200/val/val_annotations.txt, images/*.JPEG

Boxes are given by their first and last columns and rows.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfrobust.data.boxes import check_boxes, of_pixels
from tfrobust.errors import DataError, one_line
from tfrobust.files.archives import check_archive
from tfrobust.files.reading import UnreadableError, open_regular
from tfrobust.types import Boxes

SIDE = 64
_ROOT = "tiny-imagenet-200"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One labelled image of the archive.

    Attributes:
        name: of its file, `n01443537_0.JPEG`.
        wnid: its class.
        path: in the archive.
        box: in pixels: first column, first row, last column, last row.
    """

    name: str
    wnid: str
    path: str
    box: tuple[str, ...]

    def boxes(self) -> Boxes:
        """Return its box as a fraction, float32 `(4,)`.

        Raises:
            DataError: it is no box, empty, or reaches out of the image.
        """
        try:
            left, top, right, bottom = map(int, self.box)
        except ValueError as error:
            raise DataError(f"{self.name}: no box: received {' '.join(self.box)!r}") from error
        if not all(0 <= edge < SIDE for edge in (left, top, right, bottom)):
            raise DataError(
                f"{self.name}: box reaches out of the image: expected columns and rows from 0 to "
                f"{SIDE - 1}; received: {' '.join(self.box)}"
            )
        box = of_pixels(left, top, right + 1, bottom + 1, (SIDE, SIDE))
        check_boxes(box, self.name)
        return box


class TinyImagenetArchive:
    """The archive, or a part of it in the same layout.

    Args:
        path: the `.zip`.

    Raises:
        DataError: it is no readable archive, a path in it escapes, or it has another layout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            open_regular(path).close()  # a FIFO would be waited for
            self._zip = zipfile.ZipFile(path)
            check_archive(self._zip, path.stat().st_size)
        except (OSError, zipfile.BadZipFile, UnreadableError) as error:
            raise DataError(f"{path}: not a readable archive ({one_line(error)})") from error
        self._names = set(self._zip.namelist())
        for name in self._names:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise DataError(f"{path}: refused: {name!r} would leave its folder")
        self.wnids = [line.strip() for line in self._lines("wnids.txt")]

    def words(self) -> dict[str, list[str]]:
        """Return the names of each class by its WordNet id, in the archive's order."""
        rows = (line.split("\t") for line in self._lines("words.txt"))
        named = {row[0]: [name.strip() for name in row[1].split(",")] for row in rows if row[1:]}
        return {wnid: named.get(wnid, [wnid]) for wnid in self.wnids}

    def training(self) -> Iterator[Picture]:
        """Yield the training images, class by class."""
        for wnid in self.wnids:
            for line in self._lines(f"train/{wnid}/{wnid}_boxes.txt"):
                name, *box = line.split("\t")
                path = f"{_ROOT}/train/{wnid}/images/{name}"
                yield Picture(name, wnid, path, tuple(box))

    def validation(self) -> Iterator[Picture]:
        """Yield the validation images."""
        for line in self._lines("val/val_annotations.txt"):
            name, wnid, *box = line.split("\t")
            yield Picture(name, wnid, f"{_ROOT}/val/images/{name}", tuple(box))

    def read(self, picture: Picture) -> bytes:
        """Return an image's JPEG.

        Raises:
            DataError: it is missing, cannot be decoded, or has another size.
        """
        if picture.path not in self._names:
            raise DataError(f"{picture.name}: is not in the archive")
        try:
            content = self._zip.read(picture.path)
            size = np.asarray(Image.open(io.BytesIO(content))).shape[:2]
        except Exception as error:  # zlib and Pillow raise half a dozen kinds
            what = "no picture" if isinstance(error, UnidentifiedImageError) else one_line(error)
            raise DataError(f"{picture.name}: broken ({what})") from error
        if size != (SIDE, SIDE):
            raise DataError(f"{picture.name}: expected {SIDE}×{SIDE} pixels; received: {size}")
        return content

    @functools.cached_property
    def sha256(self) -> str:
        """The checksum of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _lines(self, name: str) -> list[str]:
        """Return the lines of a file but for blank ones."""
        try:
            lines = self._zip.read(f"{_ROOT}/{name}").decode().splitlines()
            return [line for line in lines if line.strip()]
        except KeyError as error:
            raise DataError(
                f"{self.path}: not Tiny ImageNet's layout: {_ROOT}/{name} is missing"
            ) from error
        except Exception as error:  # a broken archive shows only when it is read
            raise DataError(f"{self.path}: {name} cannot be read ({one_line(error)})") from error
