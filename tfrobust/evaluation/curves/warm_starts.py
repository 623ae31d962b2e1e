"""Warm-started curves: a fixed-budget attack goes on from the next smaller budget.

An image that is broken at ε is broken at every larger budget: it is not attacked again, so that
accuracy falls with the budget by construction. The other images begin where the attack ended, with
their change scaled to the larger budget, and take fewer steps (`Attack.continued`).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np

from tfrobust.attack import Attack
from tfrobust.engine.learning import LearningAttack
from tfrobust.engine.run import Crafted
from tfrobust.engine.staged import GrowingAttack
from tfrobust.evaluation.blocks.rows import AttackRows
from tfrobust.options import has_option, record
from tfrobust.results.attack_records import AttackResult
from tfrobust.types import Flags, Images


@dataclasses.dataclass(frozen=True)
class Part:
    """Some images of a block, and where an attack begins on them.

    Attributes:
        rows: which, int64 `(m,)`.
        starts: `(m, height, width, channels)`.
    """

    rows: np.ndarray
    starts: Images


@dataclasses.dataclass(frozen=True)
class Rung:
    """What an attack did at one budget of its curve.

    Attributes:
        eps: the budget.
        crafted: the images.
        rows: how they were judged.
    """

    eps: float
    crafted: Crafted
    rows: AttackRows

    def left(self, images: Images, eps: float, *, whole: bool) -> Part:
        """Return the images that are attacked at a larger budget, and where that begins.

        Args:
            images: the clean ones, all of them.
            eps: the larger budget.
            whole: attack all of them, because the answers depend on the whole batch.
        """
        rows = np.arange(len(images)) if whole else np.flatnonzero(~self.broken)
        clean, crafted = images[rows], self.crafted.images[rows]
        change = np.where(np.isfinite(crafted), crafted - clean, 0.0)
        scale = eps / self.eps if self.eps > 0 else 1.0
        return Part(rows, np.clip(clean + scale * change, 0.0, 1.0).astype(np.float32))

    def joined(self, crafted: Crafted, rows: np.ndarray) -> Crafted:
        """Return the images of the next budget: those broken here, and newly crafted ones.

        Args:
            crafted: of some images.
            rows: which.
        """
        images = self.crafted.images.copy()
        images[rows] = crafted.images
        images[self.broken] = self.crafted.images[self.broken]
        return dataclasses.replace(crafted, images=images, targets=self.crafted.targets)

    def idle(self) -> Crafted:
        """Return the images of the next budget where all are broken here: nothing is computed."""
        before = self.crafted
        return Crafted(before.images, before.targets, gradients=0, queries=0, seconds=0.0)

    def kept(self, rows: AttackRows) -> AttackRows:
        """Return the rows of the next budget, with those of images that are broken here."""

        def keep(old: np.ndarray, new: np.ndarray) -> np.ndarray:
            return np.where(self.broken, old, new)

        before = self.rows
        return dataclasses.replace(
            rows,
            prediction=keep(before.prediction, rows.prediction),
            success=keep(before.success, rows.success),
            reached=keep(before.reached, rows.reached),
            distance={
                norm: keep(before.distance[norm], values) for norm, values in rows.distance.items()
            },
        )

    @property
    def broken(self) -> Flags:
        """Which images are broken, bool `(n,)`."""
        return self.rows.success


def curves(attacks: Iterable[Attack]) -> list[list[Attack]]:
    """Return the fixed-budget attacks that differ in their budget alone, each list ascending.

    Noise, corrective attacks, those that learn and those at one budget are in none.

    Example:
        >>> attacks = [create("attacks", "pgd", eps=eps) for eps in (0.2, 0.1)]
        >>> [[attack.eps for attack in curve] for curve in curves(attacks)]
        [[0.1, 0.2]]
    """
    groups: dict[tuple[type, str], dict[float, Attack]] = {}
    for attack in attacks:
        if _has_curve(attack) and attack.eps is not None:
            others = {name: value for name, value in record(attack).items() if name != "eps"}
            key = type(attack), json.dumps(others, sort_keys=True)
            groups.setdefault(key, {})[attack.eps] = attack
    return [[group[eps] for eps in sorted(group)] for group in groups.values() if len(group) > 1]


def _has_curve(attack: Attack) -> bool:
    if attack.minimum_norm or attack.corrective or attack.threat.norm is None:
        return False
    if attack.threat.knowledge == "none":  # noise
        return False
    return has_option(attack, "eps") and not isinstance(attack, LearningAttack | GrowingAttack)


def smaller_budgets(attacks: Sequence[Attack]) -> dict[Attack, float]:
    """Return the budget that each attack of a curve goes on from; the first one goes on from none.

    Example:
        >>> attacks = [create("attacks", "pgd", eps=eps) for eps in (0.2, 0.1)]
        >>> [smaller_budgets(attacks).get(attack) for attack in attacks]
        [0.1, None]
    """
    return {
        attack: smaller.budget
        for curve in curves(attacks)
        for smaller, attack in itertools.pairwise(curve)
        if smaller.budget is not None
    }


def with_smaller_budgets(
    results: Sequence[AttackResult], attacks: Sequence[Attack]
) -> list[AttackResult]:
    """Return results that say which budget each attack went on from.

    Args:
        results: one an attack.
        attacks: in the same order.
    """
    smaller = smaller_budgets(attacks)
    return [
        result.model_copy(update={"continued_from": smaller.get(attack)})
        for result, attack in zip(results, attacks, strict=True)
    ]
