"""Features of frozen networks: computed once, and reused in every epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.in_memory import Arrays, InMemoryScenario
from tfrobust.data.reading import check_images, labelled, readable
from tfrobust.errors import DataError
from tfrobust.scenario import Scenario
from tfrobust.types import ImageShape, Labels


@dataclasses.dataclass(frozen=True)
class Features:
    """The features of one stream for the images of a split.

    Attributes:
        values: float32 `(n, units)`.
        labels: int64 `(n,)`: of the images, in the same order.
    """

    values: np.ndarray
    labels: Labels


def features_of(
    streams: Mapping[str, Classifier],
    scenario: Scenario,
    split: str,
    report: Callable[[str, int, int], None] | None = None,
) -> dict[str, Features]:
    """Return what each stream sees in a split, which is read once for all of them.

    A shift is drawn once for each image, not in every epoch.

    Args:
        streams: name → a classifier that shows its features.
        scenario: where the images come from.
        split: of it.
        report: receives the number of finished batches and, if known, of all batches.

    Raises:
        ClassifierError: a stream shows no features.
        DataError: the images break the contract.
    """
    spec = tf.TensorSpec((None, *scenario.image_shape), tf.float32)
    see = tf.function(
        lambda images: {name: stream.features(images) for name, stream in streams.items()},
        input_signature=[spec],
    )
    batches = labelled(scenario.load(split)).batch(BATCH_SIZE).prefetch(tf.data.AUTOTUNE)
    in_all = int(batches.cardinality())
    seen: dict[str, list[np.ndarray]] = {name: [] for name in streams}
    labels: list[np.ndarray] = []
    for number, (images, of) in enumerate(readable(batches), 1):
        check_images(images, of, scenario.num_classes)
        for name, values in see(images).items():
            seen[name].append(values.numpy())
        labels.append(of.numpy().astype(np.int64))
        if report and in_all > 0:
            report(f"features of the {split} split", number, in_all)
    if not labels:
        raise DataError(f"split {split!r} holds no images")
    all_labels = np.concatenate(labels)
    return {name: Features(np.concatenate(parts), all_labels) for name, parts in seen.items()}


def beside(streams: Mapping[str, Features]) -> Features:
    """Return the features of several streams side by side, `(n, units of all)`.

    Raises:
        DataError: they are not of the same images in the same order, as far as labels tell.
    """
    (first, known), *others = streams.items()
    for name, other in others:
        if len(other.labels) != len(known.labels):
            raise DataError(
                f"{name}: expected features of {len(known.labels)} images, as {first} has them; "
                f"received: {len(other.labels)}"
            )
        if not np.array_equal(other.labels, known.labels):
            at = int(np.argmin(other.labels == known.labels))
            raise DataError(
                f"{name}: its images come in another order than {first}'s: labels differ at image "
                f"{at} ({other.labels[at]} and {known.labels[at]}); compute both in one pass"
            )
    values = [features.values for features in streams.values()]
    return Features(np.concatenate(values, axis=1), known.labels)


class FeatureScenario(InMemoryScenario):
    """Features in the place of images, `(1, 1, units)`, for a `Trainer`.

    Args:
        splits: name → features.
        class_names: of the labels.
    """

    bounded: ClassVar[bool] = False

    def __init__(self, splits: Mapping[str, Features], class_names: Iterable[str]) -> None:
        self._splits, self._names = dict(splits), tuple(class_names)

    @property
    def image_shape(self) -> ImageShape:
        """One pixel of as many channels as there are units."""
        return 1, 1, next(iter(self._splits.values())).values.shape[1]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the images."""
        return self._names

    @property
    def splits(self) -> tuple[str, ...]:
        """Those it was given."""
        return tuple(self._splits)

    def split_arrays(self, split: str) -> Arrays:
        """Return one split; see `InMemoryScenario`."""
        features = self._splits[split]
        return {"image": features.values[:, np.newaxis, np.newaxis], "label": features.labels}

    def of(self, split: str) -> Features:
        """Return the features of a split."""
        return self._splits[split]

    def only(self, start: int, stop: int) -> FeatureScenario:
        """Return the same with some of the units alone."""
        some = {
            name: Features(features.values[:, start:stop], features.labels)
            for name, features in self._splits.items()
        }
        return FeatureScenario(some, self._names)
