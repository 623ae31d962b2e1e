"""Tells whether an attack fails for the wrong reason: checks, and the attacks they call for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.diagnosis.diagnosing import default_attack, diagnose
    from tfrobust.diagnosis.running import run
    from tfrobust.diagnosis.settings import DiagnosisSettings
    from tfrobust.diagnosis.signs import look_for_signs
    from tfrobust.results.diagnosis import Diagnosis
    from tfrobust.results.findings import Finding, Remedy, Signs, Verdict

__all__ = [
    "Diagnosis",
    "DiagnosisSettings",
    "Finding",
    "Remedy",
    "Signs",
    "Verdict",
    "default_attack",
    "diagnose",
    "look_for_signs",
    "run",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "diagnosing": (
            "Diagnosis",
            "Finding",
            "Remedy",
            "Verdict",
            "default_attack",
            "diagnose",
        ),
        "running": ("run",),
        "settings": ("DiagnosisSettings",),
        "signs": ("Signs", "look_for_signs"),
    },
)
