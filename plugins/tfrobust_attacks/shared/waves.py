"""The discrete cosine transform: directions of low frequency, to which networks react."""

from __future__ import annotations

import math

import numpy as np


def cosine_waves(side: int, share: float = 1.0) -> np.ndarray:
    """Return the orthonormal waves of the DCT-II, the lowest frequencies first.

    Args:
        side: pixels.
        share: of the frequencies, above 0; at least one is returned.

    Returns:
        float32 `(waves, side)`: w_k(x) = √(2/side) cos(π (2x + 1) k / (2 side)), w_0 over √2.

    Example:
        >>> cosine_waves(2).round(3).tolist()
        [[0.7070000171661377, 0.7070000171661377], [0.7070000171661377, -0.7070000171661377]]
    """
    frequency, pixel = np.arange(math.ceil(share * side))[:, None], np.arange(side)[None]
    waves = np.cos(np.pi * (2 * pixel + 1) * frequency / (2 * side)) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves.astype(np.float32)
