"""What an attack knows: the groups whose worst cases tables show beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import AdaptiveResult, AttackResult, Evaluation
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
