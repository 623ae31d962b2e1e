"""What of a classifier is served, and in which format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.serving.exporter import Exported, export
    from tfrobust.serving.rejecting import with_rejection
    from tfrobust.serving.settings import ExportSettings

__all__ = ["ExportSettings", "Exported", "export", "with_rejection"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "exporter": (
            "Exported",
            "export",
        ),
        "rejecting": ("with_rejection",),
        "settings": ("ExportSettings",),
    },
)
