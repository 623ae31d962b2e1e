"""Files: written whole or not at all, claimed by one writer, checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.files.arrays import read_array, read_arrays, write_arrays
    from tfrobust.files.atomic import atomic_folder, atomic_write, disk_errors, made_before
    from tfrobust.files.output_folders import output_folder, written_together

__all__ = [
    "atomic_folder",
    "atomic_write",
    "disk_errors",
    "made_before",
    "output_folder",
    "read_array",
    "read_arrays",
    "write_arrays",
    "written_together",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "arrays": ("read_array", "read_arrays", "write_arrays"),
        "atomic": ("atomic_folder", "atomic_write", "disk_errors", "made_before"),
        "output_folders": ("output_folder", "written_together"),
    },
)
