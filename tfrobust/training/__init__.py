"""One training loop, for every model and every defence that trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.training.options import TrainingOptions
    from tfrobust.training.task import TrainingTask, cross_entropy
    from tfrobust.training.trainer import Trainer

__all__ = ["Trainer", "TrainingOptions", "TrainingTask", "cross_entropy"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "options": ("TrainingOptions",),
        "task": ("TrainingTask", "cross_entropy"),
        "trainer": ("Trainer",),
    },
)
