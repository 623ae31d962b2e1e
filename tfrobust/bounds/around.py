"""The images near an image, and the least value of a linear function over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.norms.contract import TINY, radii
from tfrobust.types import Images, Norm, PerImage

Slopes = Any  # float32 (batch, functions, …): one linear function of a tensor (batch, …) each
_DUAL: Mapping[str, Callable[[Any], Any]] = {  # max ⟨a, d⟩ over ‖d‖ ≤ 1, of a (…, pixels)
    "l2": lambda a: tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(a), axis=-1), TINY)),
    "l1": lambda a: tf.reduce_max(tf.abs(a), axis=-1),
}
NORMS = ("linf", *_DUAL)
ROUNDING = 1e-6  # of float32, as a share of the size of what is added up: 16 roundings' worth


class Box(NamedTuple):
    """Numbers between two bounds of one shape."""

    lower: Any
    upper: Any


@dataclasses.dataclass(frozen=True)
class Around:
    """The images in [0, 1] within a distance of an image.

    Attributes:
        images: float32 `(batch, height, width, channels)` in [0, 1].
        eps: the distance, a number or `(batch,)`.
        norm: in which it is measured: `linf`, `l2` or `l1`.
    """

    images: Images
    eps: Any
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", tf.convert_to_tensor(self.images, tf.float32))

    def box(self) -> Box:
        """Return the least and largest value of each pixel."""
        radius = radii(self.images, self.eps)
        return Box(tf.maximum(self.images - radius, 0.0), tf.minimum(self.images + radius, 1.0))

    def least(self, slopes: Slopes) -> Any:
        """Return a lower bound of min ⟨a, x⟩ over these images, exact in L∞.

        In L2 and L1 it is the larger one of what the ball and what the box allow: ⟨a, x⟩ − ε ‖a‖_q,
        q dual to the norm, and the least over `box`.

        Args:
            slopes: `(batch, functions, height, width, channels)`.

        Returns:
            float32 `(batch, functions)`.
        """
        over_box = least_in(self.box(), slopes)
        if self.norm == "linf":
            return over_box
        rows = _flat(slopes, 2)
        radius = radii(self.images, self.eps)[:, :, 0, 0]
        over_ball = _dot(rows, self.images) - radius * _DUAL[self.norm](rows)
        return tf.maximum(over_box, over_ball)


def least_in(box: Box, slopes: Slopes) -> Any:
    """Return min ⟨a, x⟩ over a box, `(batch, functions)`.

    Args:
        box: of `(batch, …)`.
        slopes: `(batch, functions, …)`.
    """
    rows = _flat(slopes, 2)
    centre, radius = (box.upper + box.lower) / 2.0, (box.upper - box.lower) / 2.0
    return _dot(rows, centre) - _dot(tf.abs(rows), radius)


def size_in(box: Box, slopes: Slopes) -> Any:
    """Return Σ |a| max |x| over a box, `(batch, functions)`: what ⟨a, x⟩ is rounded by a share of.

    Args:
        box: of `(batch, …)`.
        slopes: `(batch, functions, …)`.
    """
    return tf.stop_gradient(_dot(tf.abs(_flat(slopes, 2)), largest(box)))


def largest(box: Box) -> Any:
    """Return the largest |x| of each number of a box."""
    return tf.maximum(tf.abs(box.lower), tf.abs(box.upper))


def widened(lower: Any, upper: Any, size: Any) -> Box:
    """Return a box that holds in spite of rounding.

    Args:
        lower: bounds as they were computed.
        upper: as `lower`.
        size: the sum of the sizes of what they were added up from.
    """
    margin = ROUNDING * tf.stop_gradient(size)
    return Box(lower - margin, upper + margin)


def _dot(rows: Any, values: Any) -> PerImage:
    return tf.linalg.matvec(rows, _flat(values, 1))


def _flat(values: Any, kept: int) -> Any:
    """Join all axes but the first `kept`."""
    size = values.shape[kept:].num_elements()
    return tf.reshape(values, tf.concat([tf.shape(values)[:kept], [size]], axis=0))
