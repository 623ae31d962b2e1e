"""Figures from outcomes: shares, their intervals, distances."""

from __future__ import annotations

import math

import numpy as np

from tfrobust.types import Flags, Labels, PerImage

_Z95 = 1.959963984540054  # the normal quantile that leaves 2.5 % on either side


def share(flags: Flags) -> float:
    """Return the share of true entries; NaN of none."""
    return float(np.mean(flags)) if len(flags) else math.nan


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a proportion.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)

    Args:
        successes: 0 to `trials`; not whole in the mean of several proportions.
        trials: 1 or more; (0, 1) is returned for none.

    Example:
        >>> [round(bound, 3) for bound in wilson(90, 100)]
        [0.826, 0.945]

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    if trials == 0:
        return 0.0, 1.0
    p = successes / trials
    z2n = _Z95**2 / trials
    centre = p + z2n / 2
    spread = _Z95 * math.sqrt(p * (1 - p) / trials + z2n / (4 * trials))
    low, high = (centre - spread) / (1 + z2n), (centre + spread) / (1 + z2n)
    return (low if successes else 0.0), (high if successes < trials else 1.0)


def success_rate(success: Flags, attackable: Flags) -> float:
    """Return the share of successes among the images that left the attack anything to do."""
    return share(success[attackable])


def fooling_ratio(prediction: Labels, clean: Labels) -> float:
    """Return the share of images whose prediction changed (Poursaeed et al. 2018)."""
    return share(prediction != clean)


def survivors(prediction: Labels, clean: Labels, labels: Labels) -> Flags:
    """Return which images are right before and after the attack: a clean error stays one."""
    return (clean == labels) & (prediction == labels)


def summary(values: PerImage) -> dict[str, float | None]:
    """Return `mean` and `median`; `None` of no values."""
    if not len(values):
        return {"mean": None, "median": None}
    return {"mean": float(np.mean(values)), "median": float(np.median(values))}
