"""Tracked runs: what trainings, evaluations, diagnoses and certifications tell trackers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.tracking.epochs import EpochFigures
    from tfrobust.tracking.guarded import Tracking
    from tfrobust.tracking.runs import track_certification, track_diagnosis, track_evaluation

__all__ = [
    "EpochFigures",
    "Tracking",
    "track_certification",
    "track_diagnosis",
    "track_evaluation",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "epochs": ("EpochFigures",),
        "guarded": ("Tracking",),
        "runs": ("track_certification", "track_diagnosis", "track_evaluation"),
    },
)
