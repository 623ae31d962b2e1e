"""Attacks in groups that share their crafted images."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.attack import Attack
from tfrobust.engine.staged import GrowingAttack, grown_together
from tfrobust.evaluation.blocks.prepared import without_budget
from tfrobust.evaluation.curves.warm_starts import curves


def grouped(attacks: Sequence[Attack], *, warm_start: bool = False) -> list[tuple[Attack, ...]]:
    """Return the attacks in groups that share one set of crafted images.

    A minimum-norm attack is crafted once for all its budgets, and growing noise once for all its
    counts. With `warm_start` the budgets of a fixed-budget attack go together too.

    Example:
        >>> attacks = [create("attacks", "ddn", eps=eps) for eps in (0.5, 1.0)]
        >>> [len(group) for group in grouped([*attacks, create("attacks", "pgd")])]
        [2, 1]
    """
    stages: dict[Attack, Attack] = {
        stage: group[-1] for group in grown_together(attacks) for stage in group
    }
    first = {attack: curve[0] for curve in curves(attacks) for attack in curve}
    warm = first if warm_start else {}
    groups: dict[Attack, list[Attack]] = {}
    for attack in attacks:
        growing = isinstance(attack, GrowingAttack)
        crafted = stages[attack] if growing else warm.get(attack, without_budget(attack))
        groups.setdefault(crafted, []).append(attack)
    return [tuple(group) for group in groups.values()]
