"""What an attack knows: the groups whose worst cases tables show beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tfrobust.results.attack_records import AdaptiveResult, AttackResult
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation
from tfrobust.types import Flags

Kind = Literal["white box", "black box", "transfer", "adaptive", "noise"]
KINDS: tuple[Kind, ...] = ("white box", "black box", "transfer", "adaptive", "noise")


def kind_of(attack: AttackResult, classifier: str) -> Kind:
    """Return what an attack on a classifier knows.

    Args:
        attack: its result.
        classifier: the name of the one that was judged; what was crafted on another one transfers.
    """
    if isinstance(attack, AdaptiveResult):
        return "adaptive"
    if attack.threat.knowledge == "none":
        return "noise"
    if attack.crafted_on not in (None, classifier):
        return "transfer"
    return "white box" if attack.threat.knowledge == "white-box" else "black box"


def counted(
    outcomes: Outcomes, number: int, evaluation: Evaluation
) -> list[tuple[AttackResult, Flags]]:
    """Return the attacks that a worst case is over, and what is right before and after each.

    Attacks that correct images are no part of it, nor are those that go as far as it takes, where
    there are others with a budget.

    Args:
        outcomes: of every image.
        number: of the evaluation in its run, from 0.
        evaluation: itself.
    """
    known = [one for one in right_after(outcomes, number, evaluation) if not one[0].corrective]
    limited = [one for one in known if not is_unlimited(one[0])]
    return limited or known


def is_unlimited(attack: AttackResult) -> bool:
    """Tell whether an attack goes as far as it takes, and so breaks everything sooner or later."""
    return attack.minimum_norm and attack.params.get("eps") is None


def right_after(
    outcomes: Outcomes, number: int, evaluation: Evaluation
) -> Iterator[tuple[AttackResult, Flags]]:
    """Yield each attack of an evaluation, adaptive ones last, and what is right before and after.

    Args:
        outcomes: of every image.
        number: of the evaluation in its run, from 0.
        evaluation: itself.

    Returns:
        The attack's result, and bool `(images,)`.
    """
    label = outcomes.column("label")
    clean = outcomes.column(f"e{number}_clean") == label
    for letter, attacks in (("a", evaluation.attacks), ("x", evaluation.adaptive)):
        for k, attack in enumerate(attacks):
            predicted = outcomes.column(f"e{number}_{letter}{k}_prediction")
            yield attack, clean & (predicted == label)
