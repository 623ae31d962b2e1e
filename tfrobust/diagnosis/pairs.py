"""Does one attack break more than another of the same images? An exact test, not an eye."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.types import Flags

CERTAIN = 0.01  # the p-value below which a difference is believed
ENOUGH = 0.05  # of the images that are right: less is no masking, but an attack that is not perfect


@dataclasses.dataclass(frozen=True)
class Pair:
    """What two attacks did to the same images.

    Attributes:
        more: images that the first breaks and the second does not.
        less: images that the second breaks and the first does not.
        images: of all.
        p: how likely at least as many would be broken by the first alone if both were equally
            strong.
        stand_for: the share of the images that are right for which these images stand.
    """

    more: int
    less: int
    images: int
    p: float
    stand_for: float = 1.0

    @property
    def is_certain(self) -> bool:
        """Whether the first is stronger beyond doubt, and by enough to matter."""
        return self.p < CERTAIN and self.gain * self.stand_for >= ENOUGH

    @property
    def gain(self) -> float:
        """By how much the first leaves less, as a share of the images."""
        return (self.more - self.less) / self.images if self.images else 0.0


def compare(first: Flags, second: Flags, stand_for: float = 1.0) -> Pair:
    """Return whether the first attack is stronger: McNemar's test, exact and one-sided.

    Under the null hypothesis an image that only one of them breaks is as likely to be the first's
    as the second's, so that `more` is binomial with probability ½.

    Args:
        first: bool `(n,)`: what the first breaks.
        second: bool `(n,)`: what the second breaks, of the same images.
        stand_for: the share of the images that are right for which these images stand.

    Example:
        >>> compare(np.ones(8, bool), np.zeros(8, bool)).p
        0.00390625

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions"
    (1947).
    """
    from scipy.stats import binomtest

    more, less = int((first & ~second).sum()), int((second & ~first).sum())
    p = binomtest(more, more + less, 0.5, "greater").pvalue if more else 1.0
    return Pair(more, less, len(np.asarray(first)), float(p), stand_for)
