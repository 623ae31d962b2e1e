"""The cost of training the joint layer of a fusion relative to its parts.

The parts are one forward pass of both networks over all training images, and the epochs of a linear
layer on the features: a graph of its own, over batches in memory. Their sum is compared with the
defence itself, which includes tracing, reading the images and drawing batches. The networks are the
paper's ResNet-18, of full width; the images have a twelfth of its pixels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.gradient_floor import row, spread
from benchmarks.plan import Plan
from tfrobust import Classifier, KerasClassifier, Trainer, TrainingOptions, create
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.names import framed
from tfrobust.data.reading import arrays
from tfrobust.scenario import Scenario
from tfrobust.training.task import cross_entropy
from tfrobust_fusion.features import FeatureScenario, beside, features_of
from tfrobust_fusion.heads import Heads

_BAR = 1.2
_IMAGES, _EPOCHS, _BATCH, _CLASSES = 7_500, 20, 128, 10
_SHAPE = (64, 64, 3)


def measure(plan: Plan) -> Iterator[dict[str, Any]]:
    """Time the training of a joint layer over two ResNet-18 on enlarged CIFAR-10."""
    if not plan.wants("contextual_fusion"):
        return
    cifar = framed("cifar10", {"size": _SHAPE[0]})
    images, labels = arrays(cifar, "train", min(_IMAGES, 8 * plan.images))
    scenario = _Given(images, labels)
    streams = {name: _network(seed) for seed, name in enumerate(("foreground", "background"))}
    ratios = []
    for turn in range(plan.turns + 1):
        bare = _forward(streams, images) + _linear_epochs(streams, images, labels)
        ratios.append(_timed(lambda: _trained(streams, scenario)) / bare)
        if turn == 0:
            ratios.clear()  # the first turn includes tracing
    what = f"`contextual_fusion`: {len(images):,} images, {_EPOCHS} epochs of the joint layer"
    yield row(f"{what} ÷ one pass of both networks and as many bare", spread(ratios), _BAR)


class _Given(Scenario):
    """Images in memory."""

    image_shape, splits = _SHAPE, ("train",)
    class_names = tuple(map(str, range(_CLASSES)))

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._parts = {"image": images, "label": labels}

    def load(self, split: str) -> tf.data.Dataset:
        """Return the images and labels of the only split."""
        return tf.data.Dataset.from_tensor_slices(self._parts)


def _network(seed: int) -> Classifier:
    keras.utils.set_random_seed(seed)
    return KerasClassifier(create("models", "resnet18").build(_SHAPE, _CLASSES))


def _trained(streams: dict[str, Classifier], scenario: Scenario) -> None:
    features = {"train": beside(features_of(streams, scenario, "train"))}
    widths = {name: features["train"].values.shape[1] // len(streams) for name in streams}
    heads = Heads(widths, _CLASSES, alpha=1.0, seed=0)
    options = TrainingOptions(epochs=_EPOCHS, batch_size=_BATCH, validation=0)
    heads.fit(FeatureScenario(features, scenario.class_names), Trainer(options))


def _forward(streams: dict[str, Classifier], images: np.ndarray) -> float:
    """Return the seconds of one pass of both networks, tracing left out."""
    spec = tf.TensorSpec((None, *_SHAPE), tf.float32)
    see = tf.function(
        lambda x: [stream.features(x) for stream in streams.values()], input_signature=[spec]
    )
    see(images[:1])

    def run() -> None:
        for start in range(0, len(images), BATCH_SIZE):
            for part in see(images[start : start + BATCH_SIZE]):
                part.numpy()

    return _timed(run)


def _linear_epochs(streams: dict[str, Classifier], images: np.ndarray, labels: np.ndarray) -> float:
    """Return the seconds of as many epochs of a bare linear layer, tracing left out."""
    units = sum(stream.features(images[:1]).shape[1] for stream in streams.values())
    features = tf.random.stateless_uniform((len(images), units), (0, 1))
    layer = keras.layers.Dense(_CLASSES)
    layer.build((None, units))
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(layer.trainable_variables)

    @tf.function
    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(y, layer(x)))
        weights = [variable.value for variable in layer.trainable_variables]
        gradients = tape.gradient(loss, weights)
        optimizer.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))

    batches = [
        (features[start : start + _BATCH], tf.constant(labels[start : start + _BATCH]))
        for start in range(0, len(images) - _BATCH + 1, _BATCH)
    ]
    step(*batches[0])

    def run() -> None:
        for _ in range(_EPOCHS):
            for batch in batches:
                step(*batch)

    return _timed(run)


def _timed(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
