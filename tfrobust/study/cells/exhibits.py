"""What a cell keeps to be looked at: a few images, as each view shows them to the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.classifier import Classifier, Separable
from tfrobust.classifiers.inference import in_batches, predict
from tfrobust.evaluation.streams import Streamed, of_few_classes, projected
from tfrobust.types import Images, Labels

_STEPS = 61  # of the lattice, along each axis
_DIGITS = 3  # of projected features
_POINTS = (1, 1, 2)  # the shape of an image that is a point


def attacked_exhibits(
    images: Images, attacked: dict[str, Images], count: int
) -> dict[str, list[Any]]:
    """Return the first images as thousandths: as they are, and as they were attacked in each view.

    Args:
        images: float32 `(n, height, width, channels)`.
        attacked: view → what was made of them, the same shape.
        count: of images to keep.
    """
    found = {"original": _whole(images[:count])}
    return found | {view: _whole(made[:count]) for view, made in attacked.items()}


def exhibits(judged: dict[str, Classifier], images: Images, labels: Labels) -> dict[str, list[Any]]:
    """Return images as thousandths: as they are, and through each view.

    Points come with the classes that the network without the views' defences gives a lattice.

    Args:
        judged: view → the network through it.
        images: those to keep.
        labels: theirs.
    """
    found: dict[str, list[Any]] = {"label": np.asarray(labels).tolist(), "original": _whole(images)}
    for view, classifier in judged.items():
        seen = in_batches(_shown(classifier), images)
        found[view] = _whole(seen)
    if images.shape[1:] == _POINTS:
        found["regions"] = predict(_bare(next(iter(judged.values()))), lattice()).argmax(1).tolist()
    return found


def projections(
    classifier: Classifier, images: Images, attacked: Images, labels: Labels, count: int
) -> dict[str, list[Any]]:
    """Return the features of some images in two dimensions: `STREAM.clean`, `STREAM.attacked`.

    Args:
        classifier: that decides by several streams; others have none to show.
        images: clean.
        attacked: the same.
        labels: theirs.
        count: of images, at most.
    """
    if not isinstance(classifier, Streamed):
        return {}
    rows = of_few_classes(labels, count)
    found: dict[str, list[Any]] = {
        "label": labels[rows].tolist(),
        "classes": list(classifier.class_names),
    }
    for stream, points in projected(classifier, images[rows], attacked[rows]).items():
        found[f"{stream}.clean"] = points.clean.round(_DIGITS).tolist()
        found[f"{stream}.attacked"] = points.attacked.round(_DIGITS).tolist()
    return found


def lattice() -> Images:
    """Return points in rows from the bottom left, float32 `(61 · 61, 1, 1, 2)` in [0, 1]."""
    steps = np.linspace(0, 1, _STEPS, dtype=np.float32)
    across, up = np.meshgrid(steps, steps)
    return np.stack([across, up], axis=-1).reshape(-1, *_POINTS)


def _shown(classifier: Classifier) -> Any:
    if isinstance(classifier, Separable):
        return classifier.before
    return lambda images: images


def _bare(classifier: Classifier) -> Classifier:
    if not isinstance(classifier, Separable):
        return classifier
    before: Separable = classifier
    return before.inner


def _whole(images: Images) -> list[Any]:
    found: list[Any] = np.rint(np.asarray(images) * 1000).astype(int).tolist()
    return found
