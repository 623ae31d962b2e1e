"""Bounding boxes: (ymin, xmin, ymax, xmax) as fractions of the image's height and width.

Pixel (row, column) of an image covers the fractions row / height to (row + 1) / height, and
correspondingly across: a box of whole pixels has its edges between pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError
from tfrobust.types import Boxes


def check_boxes(boxes: Boxes, name: str) -> None:
    """Refuse boxes that are empty or reach out of the image.

    Args:
        boxes: float `(n, 4)`.
        name: of the image, for the message.

    Raises:
        DataError: the first box that breaks this.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    for top, left, bottom, right in boxes:
        inside = top >= 0 and left >= 0 and bottom <= 1 and right <= 1
        if not (inside and top < bottom and left < right):
            what = "is empty" if inside else "reaches out of the image"
            raise DataError(
                f"{name}: box {what}: expected ymin < ymax and xmin < xmax in [0, 1]; "
                f"received: ({top:g}, {left:g}, {bottom:g}, {right:g})"
            )


def padded(boxes: Boxes | Sequence[Boxes], *, first: int = 0) -> np.ndarray:
    """Return the boxes of several images as one array, filled up with zeros.

    Args:
        boxes: float `(n, k, 4)`, filled up already; or `(k, 4)` an image, with any `k`.
        first: the number of the first image, for messages.

    Returns:
        float32 `(n, most, 4)`.

    Raises:
        DataError: the first image without a box, or whose box is empty or reaches out of it.

    Example:
        >>> padded([np.array([[0.0, 0.0, 0.5, 0.5]]), np.array([[0.0, 0.0, 1.0, 1.0]] * 2)]).shape
        (2, 2, 4)
    """
    images = [np.asarray(image, np.float32).reshape(-1, 4) for image in boxes]
    images = [image[(image != 0).any(axis=1)] for image in images]
    for number, image in enumerate(images, first):
        if not len(image):
            raise DataError(f"image {number}: has no box; expected one or more")
        check_boxes(image, f"image {number}")
    filled = np.zeros((len(images), max(map(len, images), default=0), 4), np.float32)
    for row, image in zip(filled, images, strict=True):
        row[: len(image)] = image
    return filled


def of_pixels(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Boxes:
    """Return the box between edges given in pixels.

    Args:
        left: the left edge; 0 is the image's own.
        top: the upper edge.
        right: the right edge: one more than the last column.
        bottom: the lower edge: one more than the last row.
        size: the image's height and width.

    Example:
        >>> of_pixels(0, 0, 64, 32, (64, 64))
        array([0. , 0. , 0.5, 1. ], dtype=float32)
    """
    height, width = size
    return np.array([top / height, left / width, bottom / height, right / width], np.float32)


def cropped(boxes: Boxes, window: Boxes) -> Boxes:
    """Return boxes as a crop of the image has them, cut to it; those outside are left out.

    Args:
        boxes: float `(n, 4)`, of the whole image.
        window: float `(4,)`, what is cropped.

    Example:
        >>> cropped([[0.0, 0.0, 0.5, 0.5], [0.8, 0.8, 1.0, 1.0]], [0.25, 0.25, 0.75, 0.75])
        array([[0. , 0. , 0.5, 0.5]], dtype=float32)
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    top, left, bottom, right = np.asarray(window, np.float64)
    scale = np.array([bottom - top, right - left] * 2)
    moved = np.clip((boxes - [top, left, top, left]) / scale, 0, 1)
    inside = (moved[:, 0] < moved[:, 2]) & (moved[:, 1] < moved[:, 3])
    return moved[inside].astype(np.float32)


def covered(boxes: Boxes) -> float:
    """Return the share of the image that lies in at least one box.

    Example:
        >>> covered([[0.0, 0.0, 0.5, 1.0], [0.25, 0.0, 0.75, 1.0]])
        0.75
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    rows, columns = np.unique(boxes[:, ::2]), np.unique(boxes[:, 1::2])
    if not len(boxes):
        return 0.0
    areas = np.diff(rows)[:, np.newaxis] * np.diff(columns)
    inside = (
        (boxes[:, 0, None, None] <= rows[:-1, None])
        & (rows[1:, None] <= boxes[:, 2, None, None])
        & (boxes[:, 1, None, None] <= columns[None, :-1])
        & (columns[None, 1:] <= boxes[:, 3, None, None])
    ).any(axis=0)
    return float(areas[inside].sum())


def masks(boxes: Boxes, height: int, width: int) -> tf.Tensor:
    """Return which pixels lie in a box of their image: those whose centre does.

    Args:
        boxes: float32 `(batch, n, 4)`; images with fewer boxes are filled up with zeros.
        height: of the images.
        width: of the images.

    Returns:
        bool `(batch, height, width, 1)`.

    Example:
        >>> masks([[[0.0, 0.5, 1.0, 1.0]]], 1, 4)[0, 0, :, 0].numpy().tolist()
        [False, False, True, True]
    """
    top, left, bottom, right = tf.unstack(tf.convert_to_tensor(boxes, tf.float32), axis=-1)
    y = (tf.range(height, dtype=tf.float32) + 0.5) / height
    x = (tf.range(width, dtype=tf.float32) + 0.5) / width
    rows = (top[..., tf.newaxis] <= y) & (y < bottom[..., tf.newaxis])
    columns = (left[..., tf.newaxis] <= x) & (x < right[..., tf.newaxis])
    inside = rows[..., :, tf.newaxis] & columns[..., tf.newaxis, :]
    return tf.reduce_any(inside, axis=1)[..., tf.newaxis]
