"""From an architecture's name to a stored classifier that can be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.pipeline.build import defended, train, untrained
    from tfrobust.pipeline.deployed import Deployed, as_built
    from tfrobust.pipeline.distillation import Distillation, DistilOptions, distil
    from tfrobust.pipeline.plans import TrainingPlan
    from tfrobust.pipeline.starting_points import starting_point
    from tfrobust.pipeline.stored_training import (
        Trained,
        run_training,
        run_worker,
        train_and_store,
    )

__all__ = [
    "Deployed",
    "DistilOptions",
    "Distillation",
    "Trained",
    "TrainingPlan",
    "as_built",
    "defended",
    "distil",
    "run_training",
    "run_worker",
    "starting_point",
    "train",
    "train_and_store",
    "untrained",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "build": (
            "defended",
            "train",
            "untrained",
        ),
        "deployed": (
            "Deployed",
            "as_built",
        ),
        "distillation": (
            "DistilOptions",
            "Distillation",
            "distil",
        ),
        "plans": ("TrainingPlan",),
        "starting_points": ("starting_point",),
        "stored_training": (
            "Trained",
            "run_training",
            "run_worker",
            "train_and_store",
        ),
    },
)
