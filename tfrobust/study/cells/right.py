"""Which images are right under all attacks of a kind."""

from __future__ import annotations

from tfrobust.results.kinds import kind_of, right_after
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation
from tfrobust.types import Flags


def right_under(outcomes: Outcomes, number: int, evaluation: Evaluation) -> dict[str, Flags]:
    """Return what is right before and after all attacks of each kind, and `worst`: after all.

    Args:
        outcomes: of every image.
        number: of the evaluation, from 0.
        evaluation: itself.

    Returns:
        kind → bool `(images,)`, of the kinds that were run.
    """
    clean = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    right: dict[str, Flags] = {"worst": clean}
    for attack, left in right_after(outcomes, number, evaluation):
        for kind in (kind_of(attack, evaluation.classifier.name), "worst"):
            right[kind] = right.get(kind, clean) & left
    return right
