"""Light circles, squares, triangles and crosses on a dark ground, drawn from a seed.

Place, size, angle and the two grey values are random. The four shapes have equal areas, so that a
classifier must look at the outline: mean brightness gives nothing away.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tfrobust.errors import DataError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, Labels

_CLASSES = ("circle", "square", "triangle", "cross")
_RADIUS = 1 / math.sqrt(math.pi)  # of a circle of area 1
_INRADIUS = 1 / math.sqrt(3 * math.sqrt(3))  # of an equilateral triangle of area 1
_LONG, _SHORT = math.sqrt(9 / 20), math.sqrt(1 / 20)  # half sides of a 3:1 bar; two make a cross


@plugin
class Shapes(Scenario):
    """Synthetic images with four classes; no download."""

    size: int = option("height and width in pixels", default=20, ge=12, le=256)
    train_images: int = option("images of the split train", default=2000, ge=4)
    test_images: int = option("images of the split test", default=400, ge=4)
    noise: float = option("standard deviation of each pixel's noise", default=0.02, ge=0, le=1)
    seed: int = option("decides every image", default=0, ge=0)

    @property
    def image_shape(self) -> ImageShape:
        """Square and grey."""
        return self.size, self.size, 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """The four shapes."""
        return _CLASSES

    @property
    def splits(self) -> tuple[str, ...]:
        """Drawn apart; as large as the options say."""
        return "train", "test"

    def load(self, split: str) -> tf.data.Dataset:
        """Return one split; see `Scenario.load`."""
        if split not in self.splits:
            raise DataError(f"split: expected train or test; received: {split!r}")
        number = self.splits.index(split)
        count = (self.train_images, self.test_images)[number]
        images, labels = draw(
            count, self.size, self.noise, np.random.default_rng([self.seed, number])
        )
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})


def draw(count: int, size: int, noise: float, random: np.random.Generator) -> tuple[Images, Labels]:
    """Draw `count` images, as many of each class as of the others, in random order.

    Args:
        count: how many.
        size: height and width in pixels.
        noise: standard deviation of each pixel's noise.
        random: where everything random comes from.

    Returns:
        Images float32 `(count, size, size, 1)` in [0, 1] and labels int64 `(count,)`.
    """
    labels = random.permutation(np.arange(count) % len(_CLASSES))

    def uniform(low: float, high: float) -> np.ndarray:
        return random.uniform(low, high, size=(count, 1, 1))

    scale = size * uniform(0.3, 0.45)  # √area, in pixels
    x, y = _turned(size, uniform(0.4, 0.6), uniform(0.4, 0.6), uniform(0, 2 * math.pi))
    outside = scale * _outside(x / scale, y / scale, labels)
    covered = np.clip(0.5 - outside, 0, 1)  # the share of a pixel that lies in the shape
    ground = uniform(0.2, 0.4)
    contrast = uniform(0.3, 0.5)
    images = ground + contrast * covered + noise * random.normal(size=covered.shape)
    return np.clip(images, 0, 1).astype(np.float32)[..., None], labels.astype(np.int64)


def _turned(
    size: int, column: np.ndarray, row: np.ndarray, angle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's place in pixels, seen from a shape's centre and turned by its angle."""
    pixels = np.arange(size) + 0.5
    x, y = pixels[None, None, :] - size * column, pixels[None, :, None] - size * row
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _outside(x: np.ndarray, y: np.ndarray, labels: Labels) -> np.ndarray:
    """Return how far (x, y) lies outside a shape of area 1; negative inside."""
    across, along = np.abs(x), np.abs(y)
    shapes = (
        np.hypot(x, y) - _RADIUS,
        np.maximum(across, along) - 0.5,
        np.maximum(-y, y / 2 + across * math.sqrt(3 / 4)) - _INRADIUS,
        np.minimum(
            np.maximum(across - _LONG, along - _SHORT), np.maximum(across - _SHORT, along - _LONG)
        ),
    )
    return np.choose(labels[:, None, None], shapes)
