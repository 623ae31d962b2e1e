"""Finished work of a long run, kept in its folder until all of it is finished."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tfrobust.errors import StoreError
from tfrobust.files.arrays import read_arrays, write_arrays


class FinishedWork:
    """Arrays that are found again by what went into them, not by names.

    A recipe is all that decides the arrays, as bytes: where two commands differ in something that
    their recipes do not say, one would go on with the other's figures.

    Args:
        folder: of the files; made when the first one is written.

    Attributes:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, recipe: bytes) -> dict[str, np.ndarray] | None:
        """Return what was computed by a recipe before the interruption, or `None`."""
        try:
            return read_arrays(self._path(recipe))
        except StoreError:
            return None  # not finished, or damaged: it is computed again

    def save(self, recipe: bytes, arrays: dict[str, np.ndarray]) -> None:
        """Keep what was computed by a recipe.

        Raises:
            StoreError: the disk refuses.
        """
        write_arrays(self._path(recipe), arrays, compressed=False)

    def _path(self, recipe: bytes) -> Path:
        return self.folder / f"{hashlib.sha256(recipe).hexdigest()[:32]}.npz"
