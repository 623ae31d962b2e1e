"""Bounds of a mean from draws, each of which is wrong with a chosen probability only.

Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial" (1934); Hoeffding, "Probability inequalities for sums of bounded random variables" (1963).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special, stats

_HALVINGS = 60  # bisection steps, down to the rounding of float64


def lower_share(successes: Any, trials: int, alpha: float) -> Any:
    """Return a lower bound of a probability, which is above it with probability `alpha` at most.

    Clopper & Pearson: the p for which so many successes or more have probability α.

    Args:
        successes: integers from 0 to `trials`, of any shape.
        trials: 1 or more.
        alpha: above 0.

    Example:
        >>> round(float(lower_share(100, 100, 0.001)), 4)  # α^(1/n)
        0.9333
    """
    successes = np.asarray(successes, np.float64)
    bound = stats.beta.ppf(alpha, np.maximum(successes, 1.0), trials - successes + 1.0)
    return np.where(successes > 0, bound, 0.0)


def upper_share(successes: Any, trials: int, alpha: float) -> Any:
    """Return an upper bound of a probability; see `lower_share`.

    Example:
        >>> round(float(upper_share(0, 100, 0.001)), 4)
        0.0667
    """
    return 1.0 - lower_share(trials - np.asarray(successes), trials, alpha)


def lower_mean(mean: Any, trials: int, alpha: float) -> Any:
    """Return a lower bound of an expectation, which is above it with probability `alpha` at most.

    Hoeffding's theorem 1: the p below the mean m for which n KL(m ‖ p) = ln(1/α). It is above
    m − `hoeffding_margin`, and where every number is 1 it is that of `lower_share`.

    Args:
        mean: of numbers in [0, 1], of any shape.
        trials: how many independent numbers, 1 or more.
        alpha: above 0.

    Example:
        >>> round(float(lower_mean(1.0, 100, 0.001)), 4)  # α^(1/n)
        0.9333
    """
    mean = np.clip(np.asarray(mean, np.float64), 0.0, 1.0)
    low, high = np.zeros_like(mean), mean
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        entropy = special.rel_entr(mean, middle) + special.rel_entr(1.0 - mean, 1.0 - middle)
        excluded = trials * entropy >= np.log(1.0 / alpha)
        low, high = np.where(excluded, middle, low), np.where(excluded, high, middle)
    return low


def hoeffding_margin(trials: int, alpha: float) -> float:
    """Return how far the mean of numbers in [0, 1] may be off, on one side.

    √(ln(1/α) / 2n)

    Example:
        >>> round(hoeffding_margin(100, 0.05), 4)
        0.1224
    """
    return float(np.sqrt(np.log(1.0 / alpha) / (2.0 * trials)))
