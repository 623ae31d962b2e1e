"""Classifiers and images to try plugins on."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.types import Images, ImageShape, Labels

SHAPE = (6, 5, 2)
CLASSES = 4


class LinearClassifier(Classifier):
    """z = Wx + b, whose closed forms attacks are measured by.

    Attributes:
        weights: float32 `(pixels, classes)`.
        bias: float32 `(classes,)`.
    """

    def __init__(
        self, image_shape: ImageShape = SHAPE, num_classes: int = CLASSES, seed: int = 0
    ) -> None:
        super().__init__(image_shape=image_shape, num_classes=num_classes)
        draw = np.random.default_rng(seed)
        pixels = int(np.prod(image_shape))
        weights = draw.normal(size=(pixels, num_classes)) / np.sqrt(pixels)
        self.weights = tf.Variable(weights.astype(np.float32))
        self.bias = tf.Variable(-0.5 * tf.reduce_sum(self.weights, 0))  # grey is undecided

    def __call__(self, images: Images) -> Any:
        """Return Wx + b."""
        return tf.reshape(images, (-1, self.weights.shape[0])) @ self.weights + self.bias

    def least_perturbation(
        self, images: Images, labels: Labels, norm: str, free: Any = None
    ) -> np.ndarray:
        """Return the distance to the nearest other class, `(batch,)`; the box must not bind.

        min_{k≠y} (z_y − z_k) / ‖w_y − w_k‖_q, q dual to the norm; w is zero where an image is not
        `free` to change, bool `(batch, height, width, 1)`.
        """
        order = {"linf": 1, "l2": 2, "l1": np.inf}[norm]
        logits, weights = self(images).numpy(), self.weights.numpy()
        least = np.full(len(labels), np.inf)
        moves = np.broadcast_to(True if free is None else free, images.shape)
        moves = moves.reshape(len(labels), -1).T
        for k in range(self.num_classes):
            normal = moves * (weights[:, labels] - weights[:, [k]])
            slope = np.linalg.norm(normal, order, axis=0)
            gap = logits[np.arange(len(labels)), labels] - logits[:, k]
            other = labels != k
            least[other] = np.minimum(least[other], gap[other] / slope[other])
        return least


class ConstantClassifier(Classifier):
    """Predicts the first class for every image: no attack breaks it, and its gradient is zero."""

    def __init__(self, image_shape: ImageShape = SHAPE, num_classes: int = CLASSES) -> None:
        super().__init__(image_shape=image_shape, num_classes=num_classes)

    def __call__(self, images: Images) -> Any:
        """Return logits that depend on nothing."""
        shown = 0.0 * tf.reduce_sum(images, (1, 2, 3))
        return shown[:, None] - tf.range(self.num_classes, dtype=tf.float32)


class SwitchedClassifier(Classifier):
    """Switches between several classifiers; a function traced for one serves all of them.

    z = Σ_k s_k z_k, s being one for the chosen classifier and zero for the others: a variable, so
    that a traced attack follows the switch. Zero times a finite logit, and times its gradient, is
    exactly zero, so that logits and gradients are those of the chosen one.

    Args:
        choices: classifiers of the same shapes by name, with finite logits and gradients.

    Example:
        >>> classifier = SwitchedClassifier(linear=LinearClassifier(), flat=ConstantClassifier())
        >>> float(tf.reduce_max(classifier.to("flat")(tf.zeros((1, *SHAPE)))))
        0.0
    """

    def __init__(self, **choices: Classifier) -> None:
        first = next(iter(choices.values()))
        super().__init__(image_shape=first.image_shape, num_classes=first.num_classes)
        self.choices = choices
        self.switches = {name: tf.Variable(0.0, trainable=False) for name in choices}
        self.to(next(iter(choices)))

    def to(self, name: str) -> SwitchedClassifier:
        """Become the classifier of that name; return this object."""
        for choice, switch in self.switches.items():
            switch.assign(float(choice == name))
        return self

    def __call__(self, images: Images) -> Any:
        """Return the chosen classifier's logits."""
        return tf.add_n([self.switches[k] * self.choices[k](images) for k in self.choices])


def small_classifier(image_shape: ImageShape = SHAPE, num_classes: int = CLASSES) -> Classifier:
    """Return an untrained convolutional network with fixed weights."""
    import keras

    init = keras.initializers.GlorotNormal(seed=7)
    layers = [
        keras.Input(image_shape),
        keras.layers.Conv2D(8, 3, activation="tanh", padding="same", kernel_initializer=init),
        keras.layers.Flatten(),
        keras.layers.Dense(num_classes, kernel_initializer=init),
    ]
    return KerasClassifier(keras.Sequential(layers))


def grey_images(
    classifier: Classifier, count: int = 11, *, spread: float = 0.1, seed: int = 0
) -> tuple[Images, Labels]:
    """Return images near grey, far from the box's walls, and what the classifier calls them."""
    draw = np.random.default_rng(seed)
    shape = (count, *classifier.image_shape)
    images = (0.5 + draw.uniform(-spread, spread, size=shape)).astype(np.float32)
    return images, clean_predictions(classifier, images)


def some_boxes(count: int, seed: int = 0) -> Any:
    """Return boxes for `count` images: one or two each, of different places and sizes.

    They hold one pixel at least of images of 4 by 4 and more, and leave at least one out.
    """
    draw = np.random.default_rng(seed)
    corners = draw.uniform(0.0, 0.3, (count, 2, 2))
    sides = draw.uniform(0.3, 0.55, (count, 2, 2))
    boxes = np.concatenate([corners, corners + sides], axis=2).astype(np.float32)
    boxes[::2, 1] = 0.0  # every other image has one
    return boxes
