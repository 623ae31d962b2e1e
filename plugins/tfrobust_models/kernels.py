"""A first kernel for another number of channels than it was made for."""

from __future__ import annotations

import numpy as np

_RGB = 3


def for_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Return a kernel that was made for red, green and blue, for `channels` channels.

    Each gets the mean of the three, times 3 / channels: an image that is the same on all channels
    gives what it gave as a grey RGB image.

    Args:
        kernel: `(height, width, 3, filters)`.
        channels: how many it is to have.

    Returns:
        `(height, width, channels, filters)`.
    """
    if channels == _RGB:
        return kernel
    mean = kernel.mean(axis=2, keepdims=True, dtype=np.float64)
    return np.repeat(mean * (_RGB / channels), channels, axis=2).astype(kernel.dtype)
