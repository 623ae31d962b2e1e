"""Which numbers a max pooling looks at."""

from __future__ import annotations

import numpy as np

from tfrobust.types import KerasLayer


def windows(layer: KerasLayer, shape: tuple[int, ...]) -> np.ndarray:
    """Return where each window's numbers are, int64 `(windows, numbers)`; −1 outside the image.

    Args:
        layer: `MaxPooling2D` or `GlobalMaxPooling2D`.
        shape: `(height, width, channels)` of what it reads.

    Returns:
        Indices into the image's `height · width` pixels.
    """
    height, width, _ = shape
    if not hasattr(layer, "pool_size"):
        return np.arange(height * width)[None]
    pools, strides = layer.pool_size, layer.strides or layer.pool_size
    padded = layer.padding == "same"
    down, across = (
        _along(*sides, padded=padded) for sides in zip((height, width), pools, strides, strict=True)
    )
    inside = (down >= 0)[:, None, :, None] & (across >= 0)[None, :, None, :]
    places = down[:, None, :, None] * width + across[None, :, None, :]
    return np.where(inside, places, -1).reshape(len(down) * len(across), -1)


def _along(side: int, pool: int, stride: int, *, padded: bool) -> np.ndarray:
    """Return the places of each window along one axis, `(windows, pool)`; −1 outside."""
    count = -(-side // stride) if padded else (side - pool) // stride + 1
    before = max((count - 1) * stride + pool - side, 0) // 2 if padded else 0
    places = np.arange(count)[:, None] * stride + np.arange(pool) - before
    return np.where((places >= 0) & (places < side), places, -1)
