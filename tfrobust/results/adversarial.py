"""The folder `adversarial/` of `tfrobust attack`: attacked images, written a block at a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import disk_errors
from tfrobust.files.reading import read_json
from tfrobust.files.row_files import RowFile
from tfrobust.types import Images, ImageShape, Labels

ADVERSARIAL = "adversarial"
_RUN_FILE = "run.json"


class AdversarialFolder:
    """`images.npy` (attacked), `clean.npy`, `labels.npy` and `run.json`.

    Args:
        folder: is created.
        count: of images.
        image_shape: `(height, width, channels)`.

    Raises:
        StoreError: the disk refuses.
    """

    def __init__(self, folder: Path, count: int, image_shape: ImageShape) -> None:
        self.folder = folder
        pixels = np.dtype(np.float32)
        self._images = RowFile.create(folder / "images.npy", count, pixels, image_shape)
        self._clean = RowFile.create(folder / "clean.npy", count, pixels, image_shape)

    def write(self, start: int, images: Images, clean: Images) -> None:
        """Write a block.

        Args:
            start: position of its first image.
            images: attacked, float32 `(n, height, width, channels)`.
            clean: the same ones before.

        Raises:
            StoreError: the disk refuses.
        """
        self._images.write(start, images)
        self._clean.write(start, clean)

    def finish(self, labels: Labels, ranges: list[tuple[int, int]], run: str) -> None:
        """Write what is left, once all blocks are there.

        Args:
            labels: int64 `(n,)`, of the images that were written.
            ranges: the positions of these.
            run: which run it is.

        Raises:
            StoreError: the disk refuses.
        """
        for rows in (self._images, self._clean):
            rows.keep(ranges)
        RowFile.create(self.folder / "labels.npy", len(labels), labels.dtype).write(0, labels)
        with disk_errors(self.folder):
            (self.folder / _RUN_FILE).write_text(json.dumps({"run": run}), encoding="utf-8")


def run_of(folder: Path) -> str:
    """Return which run an adversarial folder is of.

    Raises:
        StoreError: its `run.json` cannot be read.
    """
    try:
        return str(read_json(folder / _RUN_FILE)["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / _RUN_FILE}: {one_line(error)}; evaluate again") from error
