"""What a cell keeps to be looked at: a few images, as each view shows them to the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.classifier import Classifier, Separable
from tfrobust.inference import in_batches, predict
from tfrobust.types import Images, Labels

_STEPS = 61  # of the lattice, along each axis
_POINTS = (1, 1, 2)  # the shape of an image that is a point


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
    return classifier.inner if isinstance(classifier, Separable) else classifier


def _whole(images: Images) -> list[Any]:
    found: list[Any] = np.rint(np.asarray(images) * 1000).astype(int).tolist()
    return found
