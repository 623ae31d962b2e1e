"""What has to be alike where classifiers are ranked."""

from __future__ import annotations

import dataclasses

from tfrobust.types import Norm

_DIGITS = 8  # of a budget: more are how somebody rounded it


def rounded(eps: float) -> float:
    """Return a budget as boards are called by it."""
    return float(f"{eps:.{_DIGITS}g}")


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What has to be alike where classifiers are ranked.

    Attributes:
        scenario: with its shift.
        split: of it.
        norm: of the ball.
        eps: its radius.
        images: how many.
        seed: of the attacks.
        labels: a hash of those of the images.
        attacks: of all classifiers, with their options: title → options.
    """

    scenario: str
    split: str
    norm: Norm
    eps: float
    images: int
    seed: int
    labels: str
    attacks: dict[str, str]

    @property
    def board(self) -> tuple[str, str, Norm, float]:
        """What a board is called by; what else differs makes it unfair."""
        return self.scenario, self.split, self.norm, self.eps
