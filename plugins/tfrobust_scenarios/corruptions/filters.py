"""Linear filters and sampling with every border rule that the corruptions need.

Border rules have NumPy's names: `edge` repeats the border pixel, `reflect` mirrors without
repeating it (OpenCV's default), `symmetric` mirrors and repeats it (SciPy's `reflect`). Sides are
static, so a rule is a table of indices, and a kernel may be wider than the image.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tfrobust.types import Image

Border = Literal["edge", "reflect", "symmetric"]


def padded(image: Image, reach: int, border: Border) -> Any:
    """Return the image with `reach` more pixels on each of its four sides."""
    for axis in (0, 1):
        indices = np.pad(np.arange(image.shape[axis]), reach, border)
        image = tf.gather(image, indices, axis=axis)
    return image


def correlated(image: Image, kernel: np.ndarray, border: Border) -> Any:
    """Return Σ k(i, j) x(u + i, v + j), each channel by itself; `kernel` has odd sides."""
    reach = max(side // 2 for side in kernel.shape)
    margin = [(reach - side // 2,) * 2 for side in kernel.shape]
    square = np.pad(kernel, margin)[..., None, None]
    planes = tf.transpose(padded(image, reach, border), (2, 0, 1))[..., None]
    filtered = tf.nn.conv2d(planes, tf.constant(square, tf.float32), 1, "VALID")
    return tf.transpose(filtered[..., 0], (1, 2, 0))


def separable(rows: np.ndarray, image: Image, columns: np.ndarray) -> Any:
    """Return R x Cᵀ, each channel by itself.

    Args:
        rows: `(height′, height)`.
        image: `(height, width, channels)`.
        columns: `(width′, width)`.
    """
    down = tf.tensordot(tf.constant(rows, tf.float32), image, 1)
    across = tf.tensordot(tf.constant(columns, tf.float32), down, [[1], [1]])
    return tf.transpose(across, (1, 0, 2))


def gaussian(sigma: float, reach: int) -> np.ndarray:
    """Return a Gaussian kernel that sums to 1, `(2 reach + 1,)`."""
    if not reach:
        return np.ones(1)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma))
    return kernel / kernel.sum()


def filtering(length: int, kernel: np.ndarray, border: Border) -> np.ndarray:
    """Return the matrix that applies a kernel to a line of pixels, `(length, length)`."""
    reach = len(kernel) // 2
    extended = np.pad(np.eye(length), ((reach, reach), (0, 0)), border)
    seen = np.lib.stride_tricks.sliding_window_view(extended, len(kernel), axis=0)
    return seen @ kernel


def smoothed(image: Image, sigma: float, *, border: Border, truncate: float) -> Any:
    """Return G_σ ∗ x; the kernel ends after `truncate` standard deviations."""
    kernel = gaussian(sigma, int(truncate * sigma + 0.5))
    rows, columns = (filtering(side, kernel, border) for side in image.shape[:2])
    return separable(rows, image, columns)


def sampled(image: Image, down: Any, right: Any, border: Border) -> Any:
    """Return the image at real positions, bilinear.

    Args:
        image: `(height, width, channels)`.
        down: float32 `(height′, width′)`, in pixels from the centre of the first one.
        right: as `down`.
        border: the values outside.
    """
    height, width, channels = image.shape
    flat = tf.reshape(image, (height * width, channels))
    top, left = tf.floor(down), tf.floor(right)
    low, near = (down - top)[..., None], (right - left)[..., None]

    def row(offset: float) -> Any:
        first = inside(top + offset, height, border) * width
        west = tf.gather(flat, first + inside(left, width, border))
        east = tf.gather(flat, first + inside(left + 1.0, width, border))
        return west + near * (east - west)

    upper = row(0.0)
    return upper + low * (row(1.0) - upper)


def inside(position: Any, length: int, border: Border) -> Any:
    """Return the int32 index that a whole position outside `0 … length − 1` stands for."""
    index = tf.cast(position, tf.int32)
    if border == "edge":
        return tf.clip_by_value(index, 0, length - 1)
    again = 1 if border == "symmetric" else 0  # how often the border pixel comes once more
    last = 2 * length - 2 + again
    period = max(last + again, 1)
    index = tf.math.floormod(index, period)
    return tf.where(index < length, index, last - index)
