"""What an evaluation found: its records, the files of a run, and the arithmetic of its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.results.attack_records import AttackResult
    from tfrobust.results.certification import Certifications, read_certifications
    from tfrobust.results.detectors import DetectorResult
    from tfrobust.results.records import Evaluation, Results
    from tfrobust.results.run_files import Evaluated, read_results, write_results

__all__ = [
    "AttackResult",
    "Certifications",
    "DetectorResult",
    "Evaluated",
    "Evaluation",
    "Results",
    "read_certifications",
    "read_results",
    "write_results",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "attack_records": ("AttackResult",),
        "certification": ("Certifications", "read_certifications"),
        "detectors": ("DetectorResult",),
        "records": ("Evaluation", "Results"),
        "run_files": ("Evaluated", "read_results", "write_results"),
    },
)
