"""What a study that was run tells trackers."""

from __future__ import annotations

from collections import Counter

from tfrobust.study.rebuild import StudyRun
from tfrobust.tracking.guarded import Tracking


def track_study(tracking: Tracking, done: StudyRun) -> None:
    """Tell trackers of a study: how many claims came out how, a trial a claim, and its pages.

    Args:
        tracking: who is told.
        done: the study, run.
    """
    verdicts = Counter(str(claim.verdict.value) for claim in done.claims)
    tracking.figures({f"claims {verdict}": count for verdict, count in verdicts.items()})
    for number, claim in enumerate(done.claims, 1):
        settings = {"claim": claim.text, "verdict": claim.verdict.value, "in_paper": claim.in_paper}
        tracking.trial(f"claim {number}", settings, {"holds": _number(claim.holds)})
    for page in (done.report, done.report.with_suffix(".md")):
        tracking.artifact(page)


def _number(holds: bool | None) -> float | None:
    return None if holds is None else float(holds)
