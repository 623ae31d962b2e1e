"""The two networks everything is measured on: LeNet on MNIST, a residual network on CIFAR-10.

Both are trained for two epochs when they are first needed and kept in `runs/benchmarks/`, so that
parts measured one by one use the same network; delete that folder to train them again.
`TFDS_DATA_DIR` is the folder of the prepared datasets.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust import Classifier, Trainer, create, load
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.pipeline.build import train
from tfrobust.training.trainer import TrainingOptions

_KEPT = Path("runs") / "benchmarks"


@dataclasses.dataclass(frozen=True)
class Network:
    """A trained network, and the first test images that it classifies correctly.

    Attributes:
        title: its name in the tables.
        classifier: the network.
        images: float32 `(n, height, width, channels)`, in [0, 1].
        labels: int64 `(n,)`.
        budgets: norm → the radius that fixed-budget attacks get.
    """

    title: str
    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    budgets: Mapping[str, float]

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first images and their labels."""
        return self.images[:count], self.labels[:count]


@dataclasses.dataclass(frozen=True)
class _Recipe:
    title: str
    model: str
    options: Mapping[str, Any]
    scenario: str
    budgets: Mapping[str, float]
    images: int


_RECIPES = {
    "lenet": _Recipe("LeNet", "lenet", {}, "mnist", {"linf": 0.3, "l2": 2.0, "l1": 10.0}, 1000),
    "resnet": _Recipe(
        "ResNet-8",
        "resnet",
        {"width": 8},
        "cifar10",
        {"linf": 8 / 255, "l2": 0.5, "l1": 10.0},
        200,
    ),
}


@functools.cache
def network(name: str) -> Network:
    """Return the network `lenet` (with 1,000 images) or `resnet` (with 200)."""
    recipe = _RECIPES[name]
    data = create("scenarios", recipe.scenario)
    file = _KEPT / f"{name}.keras"
    if not file.exists():
        model = create("models", recipe.model, **recipe.options)
        trained: Any = train(model, data, Trainer(TrainingOptions(epochs=2)))
        file.parent.mkdir(parents=True, exist_ok=True)
        trained.model.save(file)
    classifier = load(file)
    images, labels = arrays(data, "test", 4 * recipe.images)
    right = np.flatnonzero(clean_predictions(classifier, images) == labels)[: recipe.images]
    return Network(recipe.title, classifier, images[right], labels[right], recipe.budgets)
