"""One training loop, for every model and every defence that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.training.trainer import Trainer, TrainingOptions

__all__ = ["Trainer", "TrainingOptions"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "trainer": (
            "Trainer",
            "TrainingOptions",
        ),
    },
)
