"""What a cell keeps for pictures: a few images, as each view shows them to the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.classifier import Classifier, Separable
from tfrobust.classifiers.inference import in_batches, predict
from tfrobust.evaluation.streams.features import Streamed, of_few_classes, projected
from tfrobust.types import Images, Labels

_STEPS = 61  # of the lattice, along each axis
_DIGITS = 3  # of projected features
_POINT = (1, 1, 2)  # the shape of an image that is a point


def attacked_exhibits(
    images: Images, attacked: dict[str, Images], count: int
) -> dict[str, list[Any]]:
    """Return the first images as thousandths: as they are, and as they were attacked in each view.

    Args:
        images: float32 `(n, height, width, channels)`.
        attacked: view → the same images after the attack, of the same shape.
        count: of images to keep.
    """
    original = {"original": _thousandths(images[:count])}
    return original | {view: _thousandths(crafted[:count]) for view, crafted in attacked.items()}


def exhibits(judged: dict[str, Classifier], images: Images, labels: Labels) -> dict[str, list[Any]]:
    """Return images as thousandths: as they are, and through each view.

    Points come with the classes that the network gives a lattice without the views' defences.

    Args:
        judged: view → the network through it.
        images: those to keep, float32 `(n, height, width, channels)`.
        labels: theirs.
    """
    kept: dict[str, list[Any]] = {
        "label": np.asarray(labels).tolist(),
        "original": _thousandths(images),
    }
    for view, classifier in judged.items():
        kept[view] = _thousandths(_as_shown(classifier, images))
    if images.shape[1:] == _POINT:
        bare = _without_defense(next(iter(judged.values())))
        kept["regions"] = predict(bare, lattice()).argmax(1).tolist()
    return kept


def projections(
    classifier: Classifier, images: Images, attacked: Images, labels: Labels, count: int
) -> dict[str, list[Any]]:
    """Return the features of some images in two dimensions: `STREAM.clean`, `STREAM.attacked`.

    Args:
        classifier: that decides by several streams; for others there is nothing to return.
        images: clean, float32 `(n, height, width, channels)`.
        attacked: the same images after the attack.
        labels: theirs.
        count: of images, at most.
    """
    if not isinstance(classifier, Streamed):
        return {}
    rows = of_few_classes(labels, count)
    kept: dict[str, list[Any]] = {
        "label": labels[rows].tolist(),
        "classes": list(classifier.class_names),
    }
    for stream, points in projected(classifier, images[rows], attacked[rows]).items():
        kept[f"{stream}.clean"] = points.clean.round(_DIGITS).tolist()
        kept[f"{stream}.attacked"] = points.attacked.round(_DIGITS).tolist()
    return kept


def lattice() -> Images:
    """Return points in rows from the bottom left, float32 `(61 · 61, 1, 1, 2)` in [0, 1]."""
    steps = np.linspace(0, 1, _STEPS, dtype=np.float32)
    across, up = np.meshgrid(steps, steps)
    return np.stack([across, up], axis=-1).reshape(-1, *_POINT)


def _as_shown(classifier: Classifier, images: Images) -> Images:
    """Return images as a view shows them to the network."""
    if isinstance(classifier, Separable):
        return in_batches(classifier.before, images)
    return in_batches(lambda batch: batch, images)


def _without_defense(classifier: Classifier) -> Classifier:
    if not isinstance(classifier, Separable):
        return classifier
    before: Separable = classifier
    return before.inner


def _thousandths(images: Images) -> list[Any]:
    thousandths: list[Any] = np.rint(np.asarray(images) * 1000).astype(int).tolist()
    return thousandths
