"""The largest radius that can be verified, by bisection over all images of a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfrobust.types import Flags, PerImage

_OCTAVES = 20  # from the largest radius down to a millionth of it


def largest_verified(
    verified: Callable[[PerImage], Flags], count: int, most: float, halvings: int
) -> PerImage:
    """Return the largest radius of each image that was verified; 0 where none was.

    Radii are halved on a logarithmic scale: the one that is returned is at most a factor
    2^(20 / 2^halvings) below one that fails.

    Args:
        verified: radii float32 `(count,)` → which of them are verified.
        count: of images.
        most: the largest radius, which is tried first; those below a millionth of it count as 0.
        halvings: further calls.

    Example:
        >>> largest_verified(lambda radii: radii < 0.1, 1, 1.0, 12)
        array([0.0998], dtype=float32)
    """
    whole = np.full(count, most, np.float32)
    best = np.where(verified(whole), whole, np.float32(0.0))
    high = np.full(count, math.log2(most))
    low = np.where(best > 0, high, high - _OCTAVES)
    for _ in range(halvings):
        middle = (low + high) / 2
        radii = np.minimum(np.exp2(middle).astype(np.float32), whole)
        holds = verified(radii)
        best = np.where(holds, np.maximum(best, radii), best)
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return best
