"""Data, models and checks that several tests need and no fixture gives."""

import functools
import json
import subprocess
import sys
import typing
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.store.models import load

REPO = Path(__file__).resolve().parents[2]


def shared_folder(name: str) -> Path:
    """Return `../shared/NAME` of the repository; skip the test where it is missing."""
    folder = REPO.parent / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in {folder.parent}: it holds data that is not part of the clone")
    return folder


class Reference:
    """`shared/reference`, read on first use."""

    def __init__(self, folder: Path) -> None:
        self.peers = json.loads((folder / "peers.json").read_text())["mnist_cnn"]
        with np.load(folder / "mnist_200.npz") as file:
            self.images = file["images"].astype(np.float32).reshape(-1, 28, 28, 1)
            self.labels = file["labels"].astype(np.int64)
        self._folder = folder

    def first(self, count: int):
        """Return the first so many images and their labels."""
        return self.images[:count], self.labels[:count]

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The network the peers attacked."""
        return load(self._folder / "mnist_cnn.keras")


@plugin
class InMemory(Scenario):
    """Random noise that a linear rule labels: a dataset that loads in milliseconds."""

    images: int = option("images in each split", default=64, ge=1)
    shape: tuple[int, int, int] = option("of the images", default=(4, 4, 1))
    classes: int = option("how many", default=3, ge=2)
    with_validation: bool = option("have a split `validation`", default=False)

    @property
    def image_shape(self):
        return self.shape

    @property
    def class_names(self):
        return tuple(f"class {k}" for k in range(self.classes))

    @property
    def splits(self):
        return ("train", "validation", "test") if self.with_validation else ("train", "test")

    def load(self, split):
        images, labels = noise(self.splits.index(split), self.images, self.shape, self.classes)
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})


class Brightness(Classifier):
    """Two classes: dark or bright, by the mean pixel."""

    def __init__(self):
        super().__init__(image_shape=(2, 2, 1), num_classes=2)

    def __call__(self, images):
        mean = tf.reduce_mean(images, (1, 2, 3))
        return tf.stack([0.5 - mean, mean - 0.5], axis=1)


class Drawing(Wrapped):
    """Adds new noise to the logits in each call."""

    def __init__(self, inner):
        super().__init__(inner, stochastic=True)
        self.draws = tf.random.Generator.from_seed(1)

    def __call__(self, images):
        logits = self.inner(images)
        return logits + self.draws.normal(tf.shape(logits), stddev=0.3)


def noise(seed: int, count: int, shape=(4, 4, 1), classes=3):
    """Return random images and labels that a linear rule gives."""
    images = np.random.default_rng(seed).uniform(size=(count, *shape)).astype(np.float32)
    rule = np.random.default_rng(99).normal(size=(int(np.prod(shape)), classes))
    return images, (images.reshape(count, -1) - 0.5).dot(rule).argmax(axis=1).astype(np.int64)


def small_model(shape=(4, 4, 1), classes=3, *, kind=keras, dropout=0.0, softmax=False):
    """Return an untrained two-layer network of either Keras generation, with fixed weights."""
    layers = [
        kind.layers.Input(shape),
        kind.layers.Flatten(),
        kind.layers.Dense(16, activation="relu", kernel_initializer=_glorot(kind, 1)),
        *([kind.layers.Dropout(dropout, seed=11)] if dropout else []),
        kind.layers.Dense(
            classes,
            activation="softmax" if softmax else None,
            kernel_initializer=_glorot(kind, 2),
        ),
    ]
    return kind.Sequential(layers)


def small_classifier(*args, **options) -> KerasClassifier:
    """Return `small_model` as a classifier."""
    return KerasClassifier(small_model(*args, **options))


def _glorot(kind, seed):
    return kind.initializers.GlorotUniform(seed=seed)


def typed_options(cls: type, without=frozenset()) -> dict[str, object]:
    """The names and annotations of a dataclass's fields, or of a TypedDict's keys."""
    hints = typing.get_type_hints(cls)
    return {name: hint for name, hint in hints.items() if name not in without}


def refused(kind, call, *words):
    """Check that a call raises an error of one printable, bounded line that holds the words."""
    with pytest.raises(kind) as refusal:
        call()
    message = str(refusal.value)
    assert message.isprintable(), message
    assert len(message) < 1200, message
    for word in words:
        assert word in message, message


def train_keras(model, images, labels, *, epochs: int, batch: int = 64) -> None:
    """Train a model in a plain loop, with the same result every time."""
    optimizer = keras.optimizers.Adam(5e-3)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    draw = np.random.default_rng(0)
    for _ in range(epochs):
        order = draw.permutation(len(images))
        for start in range(0, len(images) - batch + 1, batch):
            rows = order[start : start + batch]
            step(tf.constant(images[rows]), tf.constant(labels[rows]))


def split(scenario: Scenario, name: str):
    """Return a whole split as arrays."""
    return arrays(scenario, name)


def python(code: str, *args, timeout: float = 240, **env: str) -> subprocess.CompletedProcess:
    """Run `code` in a fresh interpreter, in the tests' environment."""
    import os

    paths = [str(REPO / "tests"), os.environ.get("PYTHONPATH", "")]
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | env
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)],
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
