"""Attacks of an evaluation that are crafted together, as `attack_runs` crafts them."""

from __future__ import annotations

from collections.abc import Sequence

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.staged import GrowingAttack, grown_together
from tfrobust.evaluation.blocks.prepared import without_budget
from tfrobust.options import record
from tfrobust.registry import name_of

Key = tuple[Classifier | None, Attack]  # who is attacked, and what crafts; growing noise asks none


def key_of(group: Sequence[Attack], attacked: Classifier) -> Key:
    """Return what groups have in common that share their crafted images."""
    first = group[0]
    if isinstance(first, GrowingAttack):
        return None, grown_together(group)[0][-1]
    return attacked, without_budget(first)


def title_of(group: Sequence[Attack]) -> str:
    """Return the name of the attacks with their budgets or strengths.

    Example:
        >>> title_of([create("attacks", "ddn", eps=eps) for eps in (0.5, 1.0)])
        'ddn ε=0.5, 1'
    """
    first = group[0]
    title = name_of(first)
    if first.strength:
        values = [f"{record(attack)[first.strength.option]:g}" for attack in group]
        return f"{title} {first.strength.sign}{', '.join(values)}"
    budgets = [f"{attack.budget:g}" for attack in group if attack.budget is not None]
    return f"{title} ε={', '.join(budgets)}" if budgets else title
