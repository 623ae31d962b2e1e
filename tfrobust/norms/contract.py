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
        """Return what `project` needs to know of the ball round each image, cut at [0, 1].

        `eps` is a number, or float32 `(batch,)`: a radius an image.
        """

    def project(self, images: Images, region: Region) -> Images:
        """Return images inside the ball and inside [0, 1], near the given ones."""


class ConvexBall(Ball, Protocol):
    """What a gradient attack needs to know besides."""

    def dual(self, gradient: Images) -> PerImage:
        """Return max ⟨gradient, d⟩ over ‖d‖ ≤ 1: the dual norm."""

    def steepest(self, gradient: Images) -> Images:
        """Return argmax ⟨gradient, d⟩ over ‖d‖ ≤ 1; zero where the gradient is zero."""

    def climb(self, images: Images, gradient: Images, length: Any, region: Region) -> Images:
        """Return images one step of at most `length` further up, inside the region."""

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Return perturbations drawn uniformly from the ball."""


def radii(clean: Images, eps: Any) -> Any:
    """Return a radius an image, `(batch, 1, 1, 1)`, of one number or one an image."""
    radii = tf.broadcast_to(tf.convert_to_tensor(eps, tf.float32), tf.shape(clean)[:1])
    return radii[:, None, None, None]
