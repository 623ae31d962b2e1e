"""The balls of `fmn`: their next radius, and the projection into them.

Numbers per image are multiplied with and subtracted from whole images, never divided by or compared
with: TensorFlow's broadcast division, minimum and maximum take four times as long on a CPU.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.norms import PIXELS, TINY
from tfrobust.types import Flags, Images, Labels, PerImage

_NEWTON_STEPS = 3
_FAR = 1e6  # farther than any image; an infinite ε would make 0 · ∞


class BallState(NamedTuple):
    """The state of `FastMinimumNorm`, one row per image."""

    clean: Images
    labels: Labels
    radius: PerImage  # ε
    scale: PerImage  # what a step is measured in: 1, or the L2 norm of the best perturbation
    threshold: PerImage  # λ of the last projection into the L1 ball
    current: Images
    distance: PerImage  # of the current image
    best: Images  # the nearest adversarial image; until there is one, the clean image
    best_distance: PerImage
    done: Flags


class Slopes(NamedTuple):
    """A gradient, stored such that its squares do not underflow."""

    largest: PerImage  # absolute value
    scaled: Images  # by the largest
    length: PerImage  # L2 norm of `scaled`

    def step(self, size: Any) -> Images:
        """Return the gradient, scaled to the L2 norm `size`."""
        return self.scaled * _along(size / self.length)


def slopes_of(gradient: Images) -> Slopes:
    """Scale a gradient by its largest entry; a zero gradient stays zero."""
    largest = tf.maximum(tf.reduce_max(tf.abs(gradient), PIXELS), TINY)
    scaled = gradient * _along(1.0 / largest)
    length = tf.sqrt(tf.reduce_sum(tf.square(scaled), PIXELS))
    return Slopes(largest, scaled, tf.maximum(length, TINY))


def _along(per_image: PerImage) -> Any:
    return per_image[:, None, None, None]


class _Convex(abc.ABC):
    """The common part of Linf, L2 and L1."""

    @abc.abstractmethod
    def dual(self, slopes: Slopes) -> PerImage:
        """Return the dual norm of the gradient."""

    @abc.abstractmethod
    def shorten(self, change: Images, state: BallState) -> tuple[Images, PerImage, PerImage]:
        """Return the change projected into the ball, its norm, and the threshold used."""

    def radii(
        self, state: BallState, gamma: Any, gap: PerImage, slopes: Slopes
    ) -> tuple[PerImage, PerImage]:
        """Return the next ε where the current image is adversarial, and where it is not."""
        closer = tf.minimum(state.radius * (1.0 - gamma), state.best_distance)
        successful = tf.math.is_finite(state.best_distance)
        reach = state.distance + tf.minimum(gap / self.dual(slopes), _FAR)
        return closer, tf.where(successful, state.radius * (1.0 + gamma), reach)

    def project(self, state: BallState, wanted: Images) -> BallState:
        """Move to an image in ball and box near the wanted one."""
        change = tf.clip_by_value(wanted, 0.0, 1.0) - state.clean
        change, distance, threshold = self.shorten(change, state)
        current = tf.clip_by_value(state.clean + change, 0.0, 1.0)  # the last bits of rounding
        return state._replace(current=current, distance=distance, threshold=threshold)


class _Linf(_Convex):
    def dual(self, slopes: Slopes) -> PerImage:
        return slopes.largest * tf.reduce_sum(tf.abs(slopes.scaled), PIXELS)

    def shorten(self, change: Images, state: BallState) -> tuple[Images, PerImage, PerImage]:
        """Clip every pixel."""
        radius = tf.maximum(state.radius, TINY)
        change = tf.clip_by_value(change * _along(1.0 / radius), -1.0, 1.0)
        distance = radius * tf.reduce_max(tf.abs(change), PIXELS)
        return change * _along(radius), distance, state.threshold


class _L2(_Convex):
    def dual(self, slopes: Slopes) -> PerImage:
        return slopes.largest * slopes.length

    def shorten(self, change: Images, state: BallState) -> tuple[Images, PerImage, PerImage]:
        """Scale the change."""
        length = tf.sqrt(tf.reduce_sum(tf.square(change), PIXELS))
        share = tf.minimum(1.0, state.radius / tf.maximum(length, TINY))
        return change * _along(share), length * share, state.threshold


class _L1(_Convex):
    def dual(self, slopes: Slopes) -> PerImage:
        return slopes.largest

    def shorten(self, change: Images, state: BallState) -> tuple[Images, PerImage, PerImage]:
        """Shrink every pixel by the same λ, max(|δ| − λ, 0), so that the sum is the radius.

        The sum is convex in λ, so Newton's steps stay below the exact λ, and the result is
        too long, never too short. They start from the last threshold, unless no pixel exceeds it
        any more, as where steps become shorter: the sum has no slope there.
        """
        size = tf.abs(change)
        largest = tf.reduce_max(size, PIXELS)
        lowest = largest - state.radius  # one pixel must not exceed the sum
        threshold = tf.where(state.threshold < largest, state.threshold, lowest)
        threshold = tf.maximum(threshold, lowest)
        for _ in range(_NEWTON_STEPS):
            over = tf.nn.relu(size - _along(threshold))
            excess = tf.reduce_sum(over, PIXELS) - state.radius
            moving = tf.reduce_sum(tf.sign(over), PIXELS)
            threshold = tf.maximum(threshold + excess / tf.maximum(moving, 1.0), 0.0)
        over = tf.nn.relu(size - _along(threshold))
        length = tf.reduce_sum(over, PIXELS)
        share = tf.minimum(1.0, state.radius / tf.maximum(length, TINY))
        return tf.sign(change) * over * _along(share), length * share, threshold


class _L0:
    """ε is a number of pixels."""

    def radii(
        self, state: BallState, gamma: Any, gap: PerImage, slopes: Slopes
    ) -> tuple[PerImage, PerImage]:
        """Return the next ε where the current image is adversarial, and where it is not."""
        closer = tf.minimum(state.radius - 1.0, tf.floor(state.radius * (1.0 - gamma)))
        farther = tf.maximum(state.radius + 1.0, tf.floor(state.radius * (1.0 + gamma)))
        return tf.maximum(tf.minimum(closer, state.best_distance), 0.0), farther

    def project(self, state: BallState, wanted: Images) -> BallState:
        """Keep the pixels that bring the image nearest to the wanted one."""
        change = tf.clip_by_value(wanted, 0.0, 1.0) - state.clean
        # A pixel that is wanted to move by w and moves by c, not 0, is nearer by w² − (w − c)².
        gain = tf.reduce_sum(change * (2.0 * (wanted - state.clean) - change), axis=3)
        flat = tf.reshape(gain, (tf.shape(gain)[0], tf.reduce_prod(tf.shape(gain)[1:])))
        count = tf.minimum(tf.cast(tf.reduce_max(state.radius), tf.int32), tf.shape(flat)[1])
        falling, order = tf.nn.top_k(flat, count)
        inside = tf.cast(tf.range(count), tf.float32) < state.radius[:, None]
        kept = tf.cast(inside & (falling > 0), tf.float32)
        rows = tf.broadcast_to(tf.range(tf.shape(flat)[0])[:, None], tf.shape(order))
        mask = tf.scatter_nd(tf.stack([rows, order], axis=2), kept, tf.shape(flat))
        change *= tf.reshape(mask, tf.shape(gain))[..., None]
        return state._replace(current=state.clean + change, distance=tf.reduce_sum(kept, axis=1))


BALLS: dict[str, Any] = {"linf": _Linf(), "l2": _L2(), "l1": _L1(), "l0": _L0()}
