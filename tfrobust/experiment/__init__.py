"""Experiments: one file that says what is trained, evaluated, certified, checked and exported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.experiment.reading import Experiment, read_experiment
    from tfrobust.experiment.running import Runner
    from tfrobust.experiment.schema import Setting, Step, StepKind
    from tfrobust.experiment.starter import write_starter

__all__ = [
    "Experiment",
    "Runner",
    "Setting",
    "Step",
    "StepKind",
    "read_experiment",
    "write_starter",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "reading": ("Experiment", "read_experiment"),
        "running": ("Runner",),
        "schema": ("Setting", "Step", "StepKind"),
        "starter": ("write_starter",),
    },
)
