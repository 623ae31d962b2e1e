"""Files: written whole or not at all, claimed by one writer, checked when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.files.atomic import (
        check_regular,
        claimed_folder,
        folder_beside,
        made_before,
        read_array,
        refused_disk,
        write_arrays,
        write_beside,
        written_together,
    )

__all__ = [
    "check_regular",
    "claimed_folder",
    "folder_beside",
    "made_before",
    "read_array",
    "refused_disk",
    "write_arrays",
    "write_beside",
    "written_together",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "atomic": (
            "write_beside",
            "write_arrays",
            "read_array",
            "check_regular",
            "folder_beside",
            "made_before",
            "refused_disk",
            "claimed_folder",
            "written_together",
        ),
    },
)
