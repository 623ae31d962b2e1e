"""Classifiers that decide by several streams of features: the weight and the features of each.

Each stream's features are projected onto the two directions in which clean images differ most (PCA,
scikit-learn's). Attacked images are projected onto the same two: if an attack does not affect a
stream, they lie among the clean ones.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import in_batches
from tfrobust.data.block_reader import BlockReader, ImageRows
from tfrobust.data.boxes import padded
from tfrobust.data.reading import check_fits
from tfrobust.data.survey import survey
from tfrobust.engine.object_boxes import needs_boxes
from tfrobust.engine.run import run_attack
from tfrobust.errors import DataError
from tfrobust.evaluation.blocks.block import BLOCK_SIZE
from tfrobust.evaluation.settings import Progress, reporter
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Images, Labels

_LEAST = 3  # images needed for two directions


@runtime_checkable
class Streamed(Protocol):
    """A classifier that decides by several streams.

    Attributes:
        streams: name → the network that computes the features.
    """

    streams: dict[str, Classifier]

    def mean_weights(self) -> dict[str, float]:
        """Return the mean absolute weight of each stream's features in the decision."""

    def features_by_stream(self, images: Images) -> dict[str, Any]:
        """Return each stream's features, float32 `(batch, its units)`."""


@dataclasses.dataclass(frozen=True)
class Projected:
    """One stream's features of some images, in two dimensions.

    Attributes:
        clean: float64 `(n, 2)`.
        attacked: the same images after an attack, in the same directions.
        explained: the share of the clean features' variance that the two directions have.
    """

    clean: np.ndarray
    attacked: np.ndarray
    explained: float

    @property
    def moved(self) -> float:
        """How far the attack moves the mean, in standard deviations of the clean features.

        The root of the mean square over both directions.
        """
        way = self.attacked.mean(axis=0) - self.clean.mean(axis=0)
        return float(np.sqrt(np.mean((way / np.maximum(self.clean.std(axis=0), 1e-12)) ** 2)))


def projected(classifier: Streamed, clean: Images, attacked: Images) -> dict[str, Projected]:
    """Return each stream's features of images before and after an attack, in two dimensions.

    Args:
        classifier: whose streams.
        clean: float32 `(n, height, width, channels)`, three or more.
        attacked: the same images, attacked.

    Raises:
        DataError: too few images.
    """
    from sklearn.decomposition import PCA

    if len(clean) < _LEAST:
        raise DataError(f"expected {_LEAST} images or more to project; received: {len(clean)}")
    streams = {}
    for name in classifier.streams:

        def see(images: Images, name: str = name) -> Any:
            return classifier.features_by_stream(images)[name]

        before, after = in_batches(see, clean), in_batches(see, attacked)
        with np.errstate(invalid="ignore"):  # a stream that sees nothing has no variance to share
            pca = PCA(2, svd_solver="full").fit(before)
        explained = float(np.nan_to_num(pca.explained_variance_ratio_).sum())
        streams[name] = Projected(pca.transform(before), pca.transform(after), explained)
    return streams


def of_few_classes(labels: Labels, images: int, classes: int = 5) -> np.ndarray:
    """Return the numbers of some images, all of the first classes that occur, for a picture."""
    chosen = np.unique(labels)[:classes]
    return np.flatnonzero(np.isin(labels, chosen))[:images]


def some_attacked(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int,
    called: str = "the classifier",
    progress: Progress | None = None,
) -> tuple[Images, Images, Labels]:
    """Attack some test images of few classes.

    Args:
        attack: which.
        classifier: that it sees.
        scenario: where the images come from.
        count: of images, at most.
        seed: decides everything random.
        called: the classifier's name, for messages.
        progress: receives how many images are attacked.

    Returns:
        The clean images, the attacked ones and their labels.

    Raises:
        UsageError: the attack fits no such classifier, or needs boxes that are not there.
        ClassifierError: the classifier was made for other images or classes.
        DataError: the images break the contract.
    """
    check_fits(classifier, scenario, called)
    boxes = needs_boxes([attack], scenario, "test")
    seen = survey(scenario, "test", None, BLOCK_SIZE, boxes=boxes)
    positions = of_few_classes(seen.labels, count)
    chosen = _rows(
        BlockReader(scenario, "test", len(seen.labels), BLOCK_SIZE, boxes=boxes), positions
    )
    told = reporter(progress, name_of(attack), len(chosen.labels))
    crafted = run_attack(
        attack, classifier, chosen.images, chosen.labels,
        boxes=chosen.boxes, seed=seed, on_progress=told,
    )  # fmt: skip
    return chosen.images, crafted.images, chosen.labels


def _rows(reader: BlockReader, positions: np.ndarray) -> ImageRows:
    """Return the images at some positions, in ascending order; one block is held at a time."""
    images: list[Images] = []
    labels: list[Labels] = []
    boxes: list[Boxes] = []
    for start in range(0, int(positions[-1]) + 1, BLOCK_SIZE):
        block = reader.read(start)
        rows = positions[(start <= positions) & (positions < start + BLOCK_SIZE)] - start
        images.append(block.images[rows])
        labels.append(block.labels[rows].astype(np.int64))
        boxes += [] if block.boxes is None else list(block.boxes[rows])
    return ImageRows(
        np.concatenate(images), np.concatenate(labels), padded(boxes) if boxes else None
    )
