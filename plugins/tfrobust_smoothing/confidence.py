"""Bounds of a mean from draws, each of which is wrong with a chosen probability only.

Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the
binomial" (1934); Hoeffding, "Probability inequalities for sums of bounded random variables" (1963).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats


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


def hoeffding_margin(trials: int, alpha: float) -> float:
    """Return how far the mean of numbers in [0, 1] may be off, on one side.

    √(ln(1/α) / 2n)

    Example:
        >>> round(hoeffding_margin(100, 0.05), 4)
        0.1224
    """
    return float(np.sqrt(np.log(1.0 / alpha) / (2.0 * trials)))
