"""Linf and L2: balls in which every pixel moves a little."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust import random
from tfrobust.norms.contract import (
    PIXELS,
    RADIUS,
    TINY,
    Region,
    radii,
    time_to_rise,
    way_and_room,
)
from tfrobust.types import Images, PerImage, Seeds

_LEAST = 1e-37  # whose inverse is still a float32
_SMALL = 1e-15  # lengths below: float32 squares of single entries may vanish


class Linf:
    """max |x|: every pixel may change by `eps`."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the largest pixel difference."""
        return tf.reduce_max(tf.abs(images - others), PIXELS)

    def region(self, clean: Images, eps: Any) -> Region:
        """Return the lowest and highest value of every pixel: ball and [0, 1] are both boxes."""
        radius = radii(clean, eps)
        return tf.maximum(clean - radius, 0.0), tf.minimum(clean + radius, 1.0)

    def project(self, images: Images, region: Region) -> Images:
        """Clip every pixel."""
        return tf.clip_by_value(images, *region)

    def dual(self, gradient: Images) -> PerImage:
        """Return the sum of the absolute values."""
        return tf.reduce_sum(tf.abs(gradient), PIXELS)

    def steepest(self, gradient: Images) -> Images:
        """Return the sign of the gradient."""
        return tf.sign(gradient)

    def step(self, images: Images, gradient: Images, length: Any, region: Region) -> Images:
        """Step along the signs, then clip."""
        return self.project(images + length * self.steepest(gradient), region)

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Draw every pixel uniformly from [−eps, eps)."""
        return random.uniform(seeds, shape, -1.0, 1.0) * eps

    def cross(self, images: Images, normal: Images, gap: PerImage) -> Images:
        """Move all pixels at one speed, each until its wall."""
        gap, way, room = way_and_room(images, normal, gap)
        time = time_to_rise(tf.abs(normal), room, gap)
        return tf.clip_by_value(images + way * tf.minimum(time, room), 0.0, 1.0)


class L2:
    """√Σx²: the Euclidean length of the perturbation."""

    def distance(self, images: Images, others: Images) -> PerImage:
        """Return the Euclidean distance."""
        return tf.squeeze(_length(images - others), PIXELS)

    def region(self, clean: Images, eps: Any) -> Region:
        """Return the centre and the radius."""
        return clean, radii(clean, eps)

    def project(self, images: Images, region: Region) -> Images:
        """Shorten what is too long, then clip; clipping only brings it nearer to the centre."""
        centre, radius = region
        change = images - centre
        shorter = change * tf.minimum(1.0, radius / tf.maximum(_length(change), TINY))
        return tf.clip_by_value(centre + shorter, 0.0, 1.0)

    def dual(self, gradient: Images) -> PerImage:
        """Return the Euclidean length."""
        return tf.squeeze(_safe_length(gradient), PIXELS)

    def steepest(self, gradient: Images) -> Images:
        """Return the gradient at unit length."""
        return gradient * (1.0 / tf.maximum(_safe_length(gradient), _LEAST))

    def step(self, images: Images, gradient: Images, length: Any, region: Region) -> Images:
        """Step along the gradient, then project."""
        return self.project(images + length * self.steepest(gradient), region)

    def draw(self, seeds: Seeds, shape: Any, eps: Any) -> Images:
        """Draw a normal direction and a radius whose d-th power is uniform."""
        direction = random.normal(seeds, shape)
        radius = random.uniform(random.fold(seeds, RADIUS), (1, 1, 1))
        dimensions = tf.cast(tf.reduce_prod(shape), tf.float32)
        return eps * radius ** (1.0 / dimensions) * self.steepest(direction)

    def cross(self, images: Images, normal: Images, gap: PerImage) -> Images:
        """Move each pixel at the speed of its share in the normal, until its wall."""
        gap, way, room = way_and_room(images, normal, gap)
        speed = tf.abs(normal)
        time = time_to_rise(tf.square(normal), tf.math.divide_no_nan(room, speed), gap)
        return tf.clip_by_value(images + way * tf.minimum(time * speed, room), 0.0, 1.0)


def _length(perturbation: Images) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(perturbation), PIXELS, keepdims=True))


def _safe_length(gradient: Images) -> Any:
    """Return the Euclidean length, also where its square underflows or overflows.

    A saturated network's gradient can be that small. It is then scaled by its largest entry first,
    which costs three more operations on whole images.
    """
    length = _length(gradient)

    def scaled() -> Any:
        largest = tf.reduce_max(tf.abs(gradient), PIXELS, keepdims=True)
        return largest * _length(gradient * (1.0 / tf.maximum(largest, _LEAST)))

    usual = tf.reduce_all((length > _SMALL) & (length < 1.0 / _SMALL))
    return tf.cond(usual, lambda: length, scaled)
