"""What a calibrater's perturbation means: what it shows by itself, and where it acts.

reading = share of images with argmax f(½ + ½ G(x) / max |G(x)|) = y
focus   = mean over images of corr(P |G(x)|, P |∂ f_y(x)/∂x|)

P sums the channels and averages 5×5 pixels. f is the classifier without the calibrater, G(x) the
perturbation alone: what is added, or the factor less 1.

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), section 1.1.1,
say of pictures of perturbations that those which multiply carry more meaning and change areas that
belong to the label. Departures: they measure neither; both formulas are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, in_batches, predict
from tfrobust.types import Images, KerasModel, Labels
from tfrobust_calibrater.generator import change

_AREA = 5  # pixels a side that are averaged: an area counts, and not a pixel
_CONSTANT = 1e-5  # a map varies by less, as a share of its mean: by rounding alone


def meaning(
    classifier: Classifier, model: KerasModel, images: Images, labels: Labels
) -> dict[str, float]:
    """Return `reading`, from 0 to 1, and `focus`, from −1 to 1.

    Args:
        classifier: without the calibrater, differentiable.
        model: the calibrater.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int `(n,)`.

    Example:
        >>> from tfrobust.testing import LinearClassifier
        >>> from tfrobust_calibrater.generator import Size, generator
        >>> untrained = generator((8, 8, 1), Size(1, 1, 1), "add", seed=0)
        >>> meaning(LinearClassifier((8, 8, 1), 2), untrained, np.ones((2, 8, 8, 1)), [0, 1])
        {'reading': 0.5, 'focus': 0.0}
    """
    images, labels = np.asarray(images, np.float32), np.asarray(labels, np.int64)
    changes = in_batches(change(model), images)
    wholes = np.abs(changes).max(axis=(1, 2, 3), keepdims=True)
    pictures = 0.5 + 0.5 * changes / np.where(wholes > 0, wholes, 1)
    right = predict(classifier, pictures).argmax(axis=1) == labels
    focus = correlations(_areas(changes), _areas(label_gradients(classifier, images, labels)))
    return {"reading": float(right.mean()), "focus": float(focus.mean())}


def label_gradients(classifier: Classifier, images: Images, labels: Labels) -> Images:
    """Return ∂ f_y(x)/∂x, the gradient of each label's logit, of the images' shape."""

    @tf.function
    def gradients(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = tf.gather(classifier(images), labels, batch_dims=1)
        return tape.gradient(logits, images)

    starts = range(0, len(images), BATCH_SIZE)
    parts = [slice(start, start + BATCH_SIZE) for start in starts]
    return np.concatenate(
        [gradients(tf.constant(images[part]), tf.constant(labels[part])) for part in parts]
    )


def correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the maps of each image, `(n,)`; 0 where one is constant.

    Args:
        maps: `(n, height, width)`.
        others: of the same shape.

    Example:
        >>> ramp = np.arange(4.0).reshape(1, 2, 2)
        >>> correlations(ramp, 3 - 2 * ramp).tolist()
        [-1.0]
    """
    one, two = _standardized(maps), _standardized(others)
    return np.asarray((one * two).mean(axis=1))


def _standardized(maps: np.ndarray) -> np.ndarray:
    """Return the pixels of each map with mean 0 and variance 1, of a constant one all 0."""
    pixels = maps.reshape(len(maps), -1)
    mean, spread = pixels.mean(axis=1, keepdims=True), pixels.std(axis=1, keepdims=True)
    varies = spread > _CONSTANT * np.abs(mean)
    return np.where(varies, (pixels - mean) / np.where(varies, spread, 1), 0.0)


def _areas(changes: Images) -> np.ndarray:
    """Return how much changes in each area, `(n, height, width)`."""
    sizes = tf.reduce_sum(tf.abs(changes), axis=-1, keepdims=True)
    return np.asarray(tf.nn.avg_pool2d(sizes, _AREA, 1, "SAME"))[..., 0].astype(np.float64)
