"""The settings of a diagnosis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tfrobust.attack import Attack
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.errors import UsageError
from tfrobust.registry import name_of
from tfrobust.types import Norm

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiagnosisSettings:
    """What is diagnosed, and how thoroughly.

    Attributes:
        eps: the radius of the ball, in the unit of the norm.
        norm: of the ball: `linf`, `l2` or `l1`.
        attack: the attack whose figure is in doubt, with its options; `None`: PGD with 40 steps
            on the margin, or Square with 300 queries where the classifier has no gradients.
        images: the first images of the split.
        split: of the scenario.
        thorough: make the expensive checks too, and all checks on all images.
        seed: decides everything random.
        batch_size: images at a time.
        on_check: called with the name of each check before it is made.

    Raises:
        UsageError: a budget that is not positive, a norm or a number of images that cannot be
            diagnosed, or an attack of another norm or budget.

    Example:
        >>> DiagnosisSettings(eps=8 / 255, norm="linf", thorough=True)
    """

    eps: float
    norm: Norm = "linf"
    attack: Attack | None = None
    images: int = 200
    split: str = "test"
    thorough: bool = False
    seed: int = 0
    batch_size: int = BATCH_SIZE
    on_check: Callable[[str], None] | None = None

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise UsageError(f"eps: expected more than 0; received: {self.eps:g}")
        if self.norm not in NORMS:
            raise UsageError(f"norm: expected one of {', '.join(NORMS)}; received: {self.norm!r}")
        if self.images < 20:
            raise UsageError(
                f"images: expected 20 or more, because tests on fewer tell nothing; "
                f"received: {self.images}"
            )
        if self.attack is not None:
            self._check_attack(self.attack)

    def _check_attack(self, attack: Attack) -> None:
        name, norm = name_of(attack), attack.threat.norm
        if norm != self.norm:
            raise UsageError(
                f"attack: {name} works in {norm or 'no norm'}, but {self.norm} was asked for; "
                f"choose an attack in {self.norm}, or its option norm"
            )
        if attack.threat.targeted or attack.corrective:
            raise UsageError(f"attack: {name} does not try to leave the label, which is diagnosed")
        if attack.budget is not None and abs(attack.budget - self.eps) > 1e-9:
            raise UsageError(
                f"attack: {name} has eps {attack.budget:g}, but {self.eps:g} is diagnosed; "
                "give both the same"
            )
