"""The networks of `benchmarks.exact`, their images, and the least distances."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrobust import Classifier, Trainer, TrainingOptions, create, run_attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.norms.distances import distances
from tfrobust.types import Flags, Images, Labels, PerImage

UNITS = (24, 24)
BOUNDED_BY = "nearest"  # the search for the least L∞ distance, from above
SECONDS = 600.0  # of a search
# What the least L2 distance is taken from: no program finds that one.
LONG_IN_L2: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fmn", {"norm": "l2", "steps": 1000, "target_classes": 9}),
    ("fab_t", {"norm": "l2", "restarts": 3}),
    ("nearest", {"norm": "l2"}),
    ("ddn", {"steps": 1000}),
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network, images that it reads rightly, and their least distances.

    Attributes:
        classifier: the network.
        images: float32 `(n, 8, 8, 1)`.
        labels: `(n,)`.
        least: norm → the least distance, float64 `(n,)`: exact in L∞, in L2 the best of long
            attacks.
        known: norm → whether that is to be believed: the search has ended.
    """

    classifier: Classifier
    images: Images
    labels: Labels
    least: Mapping[str, PerImage]
    known: Mapping[str, Flags]


def network(seed: int = 0) -> Classifier:
    """Train the network of 64–24–24–10 units on the digits."""
    import keras

    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(units, activation="relu") for units in UNITS]
    first = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
    model = keras.Sequential([*first, *hidden, keras.layers.Dense(10)])
    classifier = KerasClassifier(model)
    trainer = Trainer(TrainingOptions(epochs=40, seed=seed, learning_rate=3e-3))
    trainer.fit(classifier, create("scenarios", "digits"))
    return classifier


def subject(seed: int, count: int) -> Subject:
    """Train a network and find the least distances of its first images."""
    classifier = network(seed)
    images, labels = arrays(create("scenarios", "digits"), "test", 2 * count)
    right = clean_predictions(classifier, images) == labels
    images, labels = images[right][:count], labels[right][:count]
    certifier = create("certifiers", "exact", seconds=SECONDS, attack=BOUNDED_BY)
    exact: Any = certifier.certify(classifier, images, labels, seed=0)  # has `least`
    long = [attacked(classifier, images, labels, *attack)[0] for attack in LONG_IN_L2]
    least = {"linf": exact.least.astype(np.float64), "l2": np.min(long, axis=0)}
    known = {"linf": exact.complete, "l2": np.isfinite(least["l2"])}
    return Subject(classifier, images, labels, least, known)


def attacked(
    classifier: Classifier, images: Images, labels: Labels, name: str, options: dict[str, Any]
) -> tuple[PerImage, float]:
    """Return how far an attack's images are, infinite where it fails, and its passes an image."""
    attack = create("attacks", name, **options)
    crafted = run_attack(attack, classifier, images, labels)
    broken = clean_predictions(classifier, crafted.images) != labels
    far = distances(images, crafted.images)[options.get("norm", attack.threat.norm)]
    passes = (crafted.gradients + crafted.queries) / len(images)
    return np.where(broken, far.astype(np.float64), np.inf), passes
