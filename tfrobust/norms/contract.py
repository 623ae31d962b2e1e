"""What a norm offers, and what all of them share."""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from tfrobust.types import Images, PerImage, Seeds

PIXELS = (1, 2, 3)
RADIUS = 7919  # folded into seeds for the radius of a draw, far from any count of restarts
TINY = 1e-30  # below the square of any representable pixel difference that matters

Region = tuple[Any, ...]  # tensors of one row an image; what they mean is the ball's own affair


class Ball(Protocol):
    """What an attack needs to know of a norm."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return ‖images − others‖ for each image."""

    def region(self, clean: Images, eps: Any) -> Region:
        """Return what `project` needs to know about the ball around each image, within [0, 1].

        `eps` is a number, or float32 `(batch,)`: a radius per image.
        """

    def project(self, images: Images, region: Region) -> Images:
        """Return images inside the ball and inside [0, 1], near the given ones."""


class ConvexBall(Ball, Protocol):
    """What a gradient attack also needs to know."""

    def dual(self, gradient: Images) -> PerImage:
        """Return max ⟨gradient, d⟩ over ‖d‖ ≤ 1: the dual norm."""

    def steepest(self, gradient: Images) -> Images:
        """Return argmax ⟨gradient, d⟩ over ‖d‖ ≤ 1; zero where the gradient is zero."""

    def step(self, images: Images, gradient: Images, length: Any, region: Region) -> Images:
        """Return images one step of at most `length` further up, inside the region."""

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Return perturbations drawn uniformly from the ball."""

    def cross(self, images: Images, normal: Images, gap: PerImage) -> Images:
        """Return the nearest images in [0, 1] on the other side of a hyperplane.

        argmin ‖x′ − x‖ over x′ in [0, 1] with ⟨normal, x′ − x⟩ = gap, which may be negative; where
        [0, 1] ends before, the point of it that comes closest.
        """


def radii(clean: Images, eps: Any) -> Any:
    """Return a radius an image, `(batch, 1, 1, 1)`, of one number or one an image."""
    radii = tf.broadcast_to(tf.convert_to_tensor(eps, tf.float32), tf.shape(clean)[:1])
    return radii[:, None, None, None]


def way_and_room(images: Images, normal: Images, gap: PerImage) -> tuple[Any, Images, Images]:
    """Return how far ⟨normal, x⟩ must rise, which way each pixel moves for it, and how far it can.

    Args:
        images: `(batch, height, width, channels)`.
        normal: of the same shape.
        gap: `(batch,)`: the rise wanted; where negative, a fall.

    Returns:
        |gap| `(batch, 1, 1, 1)`; −1, 0 or 1 a pixel; and the distance to its wall.
    """
    gap = gap[:, None, None, None]
    way = tf.sign(gap) * tf.sign(normal)
    return tf.abs(gap), way, 0.5 + way * (0.5 - images)


def time_to_rise(speed: Images, hit: Images, gap: Any) -> Any:
    """Solve Σ speed · min(t, hit) = gap for the time t, by Newton's method.

    The sum is concave and grows, so that Newton from the left stays on the left, and ends after
    as many steps as it passes kinks.

    Args:
        speed: by how much each pixel raises the sum in a unit of time, `(batch, ...)`, ≥ 0.
        hit: when it reaches its wall.
        gap: `(batch, 1, 1, 1)`, ≥ 0.

    Returns:
        `(batch, 1, 1, 1)`; where the sum cannot reach the gap, when the last pixel hits its wall.
    """

    def body(number: Any, time: Any, _: Any) -> Any:
        risen = tf.reduce_sum(speed * tf.minimum(time, hit), PIXELS, keepdims=True)
        rate = tf.reduce_sum(speed * tf.cast(time < hit, speed.dtype), PIXELS, keepdims=True)
        missing = gap - risen
        moves = (missing > 1e-6 * gap) & (rate > 0)
        step = tf.where(moves, missing / tf.maximum(rate, TINY), 0.0)
        return number + 1, time + step, tf.reduce_any(moves)

    return tf.while_loop(
        lambda number, _, moves: moves & (number < 50),
        body,
        (0, tf.zeros_like(gap), tf.constant(True)),
        parallel_iterations=1,
    )[1]
