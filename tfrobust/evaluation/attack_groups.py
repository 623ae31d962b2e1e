"""Attacks in groups that share their crafted images."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.attack import Attack
from tfrobust.engine.staged import GrowingAttack, grown_together
from tfrobust.evaluation.blocks.prepared import without_budget


def grouped(attacks: Sequence[Attack]) -> list[tuple[Attack, ...]]:
    """Return the attacks in groups that share one set of crafted images.

    A minimum-norm attack is crafted once for all its budgets, and growing noise once for all its
    counts.

    Example:
        >>> attacks = [create("attacks", "ddn", eps=eps) for eps in (0.5, 1.0)]
        >>> [len(group) for group in grouped([*attacks, create("attacks", "pgd")])]
        [2, 1]
    """
    stages: dict[Attack, Attack] = {
        stage: group[-1] for group in grown_together(attacks) for stage in group
    }
    groups: dict[Attack, list[Attack]] = {}
    for attack in attacks:
        growing = isinstance(attack, GrowingAttack)
        crafted = stages[attack] if growing else without_budget(attack)
        groups.setdefault(crafted, []).append(attack)
    return [tuple(group) for group in groups.values()]
