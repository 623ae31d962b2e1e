"""What an attack knows: the groups whose worst cases tables show beside each other."""

from __future__ import annotations

from typing import Literal

from tfrobust.results.records import AdaptiveResult, AttackResult

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
