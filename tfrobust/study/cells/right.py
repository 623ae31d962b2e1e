"""Which images are right under all attacks of a kind."""

from __future__ import annotations

from tfrobust.results.kinds import kind_of
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
    label = outcomes.column("label")
    clean = outcomes.column(f"e{number}_clean") == label
    right: dict[str, Flags] = {"worst": clean}
    columns = [(f"a{k}", attack) for k, attack in enumerate(evaluation.attacks)]
    columns += [(f"x{k}", attack) for k, attack in enumerate(evaluation.adaptive)]
    for column, attack in columns:
        after = outcomes.column(f"e{number}_{column}_prediction") == label
        for kind in (kind_of(attack, evaluation.classifier.name), "worst"):
            right[kind] = right.get(kind, clean) & after
    return right
