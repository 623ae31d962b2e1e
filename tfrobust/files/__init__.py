"""Files: written whole or not at all, claimed by one writer, checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.files.atomic import (
        atomic_folder,
        atomic_write,
        check_regular,
        disk_errors,
        made_before,
        output_folder,
        read_array,
        write_arrays,
        written_together,
    )

__all__ = [
    "atomic_folder",
    "atomic_write",
    "check_regular",
    "disk_errors",
    "made_before",
    "output_folder",
    "read_array",
    "write_arrays",
    "written_together",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "atomic": (
            "atomic_write",
            "write_arrays",
            "read_array",
            "check_regular",
            "atomic_folder",
            "made_before",
            "disk_errors",
            "output_folder",
            "written_together",
        ),
    },
)
