"""Median smoothing: each pixel becomes the median of its neighbourhood.

x[i, j] → median of x[i − k//2 … i − k//2 + k − 1, j − k//2 … j − k//2 + k − 1], a channel by itself

Xu, Evans & Qi, "Feature squeezing: detecting adversarial examples in deep neural networks" (2018),
section III-C. Threat: an attacker who does not know of it, in L0 above all.
Broken by: He, Wei, Chen, Carlini & Song, "Adversarial example defenses: ensembles of weak defenses
are not strong" (2017), who optimise through it. Its gradient is right, that of the pixel which the
median picks, so there is no surrogate: the mean of the window as one left more images unbroken.
Departures: none. Of an even number of pixels the upper one of the two in the middle is taken, and
the border is reflected, as `scipy.ndimage.median_filter` does, which the authors use.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images
from tfrobust_transformations.transformed import ChangesImages, Transformed


@plugin
class MedianSmoothing(ChangesImages):
    """Replaces each pixel by the median of a window."""

    window: int = option("side of the window in pixels", default=3, ge=2, le=15)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the smoothing; see `Defense`."""
        return descent(
            "the median has a gradient, that of the pixel it picks, and PGD follows it",
            "He, Wei, Chen, Carlini & Song 2017",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a window larger than the image; see `Defense`.

        Raises:
            UsageError: says what fits.
        """
        check_window(self.window, classifier.image_shape, "median_smoothing")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the classifier behind the smoothing; nothing is trained. See `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        return Defended(Transformed(classifier, self.smoothed))

    def smoothed(self, images: Images) -> Images:
        """Return the medians of windows.

        Example:
            >>> MedianSmoothing(window=3).smoothed(images).shape == images.shape
            True
        """
        return median(images, self.window)


def check_window(window: int, image_shape: tuple[int, ...], what: str) -> None:
    """Refuse a window that is larger than the image.

    Raises:
        UsageError: says what fits.
    """
    least = min(image_shape[:2])
    if window > least:
        raise UsageError(
            f"{what}: window: expected {least} or less, the side of the image; received: {window}"
        )


def median(images: Images, window: int) -> Images:
    """Return the median of each window of images, a channel by itself; of the same shape."""
    height, width, channels = images.shape[1:]
    padded, half = _padded(images, window), window * window // 2
    shifts = [
        padded[:, row : row + height, column : column + width, :]
        for row in range(window)
        for column in range(window)
    ]
    stacked: Any = tf.stack(shifts, axis=-1)
    upper = tf.math.top_k(stacked, window * window - half, sorted=True).values[..., -1]
    return tf.reshape(upper, (-1, height, width, channels))


def _padded(images: Images, window: int) -> Images:
    before, after = window // 2, window - 1 - window // 2
    sides = [before, after]
    return tf.pad(images, [[0, 0], sides, sides, [0, 0]], "SYMMETRIC")
