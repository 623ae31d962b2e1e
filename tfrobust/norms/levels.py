"""Images of so many levels of brightness, as 8 bits hold them, near those with any pixels."""

from __future__ import annotations

import numpy as np

from tfrobust.norms.distances import distances, within_budget
from tfrobust.types import Images, Norm

_ON_LEVEL = 1e-3  # of a level, that float32 may put a pixel beside it


def rounded(images: Images, levels: int) -> Images:
    """Return images with each pixel at its nearest level.

    Args:
        images: float32 `(n, height, width, channels)` in [0, 1]; NaN stays NaN.
        levels: how many there are, evenly between 0 and 1, both included; 2 or more.

    Returns:
        float32 of the same shape.

    Example:
        >>> (rounded(np.float32([0.3, 0.5]).reshape(2, 1, 1, 1), 256) * 255).ravel()
        array([ 76., 128.], dtype=float32)
    """
    most = np.float32(levels - 1)
    return np.clip(np.rint(images * most), 0, most).astype(np.float32) / most


def rounded_within(
    clean: Images, images: Images, levels: int, norm: Norm | None, budget: float | None
) -> Images:
    """Return images at their nearest levels, those of a ball in the ball.

    An image that rounding would carry out of the ball is rounded towards the clean one instead:
    no pixel of it changes by more than before, and so it keeps to every norm.

    Args:
        clean: the centres, float32 `(n, height, width, channels)`, at levels themselves.
        images: float32 of the same shape; what is outside of the ball is rounded to the nearest.
        levels: how many there are; see `rounded`.
        norm: of the ball; `None`: there is none.
        budget: its radius; `None`: there is no ball.

    Returns:
        float32 of the same shape.
    """
    near = rounded(images, levels)
    if norm is None or budget is None or not len(images):
        return near
    inside = within_budget(distances(clean, images)[norm], budget)
    out = np.flatnonzero(inside & ~within_budget(distances(clean, near)[norm], budget))
    most = np.float32(levels - 1)
    steps = (images[out] - clean[out]) * most
    kept = np.trunc(steps + np.sign(steps) * np.float32(_ON_LEVEL))
    near[out] = rounded(clean[out] + kept / most, levels)
    return near
