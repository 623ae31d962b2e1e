"""Whether a classifier answers in logits, asked of its values: are they always in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import Images, ImageShape

TINY = float(np.finfo(np.float32).tiny)
_MAGNITUDES = (1.0, -1.0, 8.0, 64.0, -64.0, 512.0)  # of probes; logits grow with the images
_SUM = 1e-2  # that rows of probabilities in bfloat16 miss 1 by, with room


class NoLogitsError(ClassifierError):
    """A classifier answers in probabilities or the like; it may be converted when it is loaded."""


def looks_bounded(call: Callable[[Images], Any], image_shape: ImageShape) -> str:
    """Tell by its values what bounds a classifier's outputs.

    Honest logits may lie in [0, 1] on images; they leave it on brighter and darker ones than there
    are, which are tried too. Outputs that never change are no evidence.

    Returns:
        `softmax` where rows sum to 1, at the precision of bfloat16; `sigmoid` where they do not;
        the empty string where some output is outside of [0, 1].

    Example:
        >>> looks_bounded(lambda images: tf.nn.softmax(classifier(images)), (8, 8, 1))
        'softmax'
    """
    seen = []
    for probe in probes(image_shape):
        outputs = np.asarray(tf.cast(call(tf.constant(probe)), tf.float32))
        if (outputs < 0).any() or (outputs > 1).any():  # NaN is neither
            return ""
        seen.append(outputs[np.isfinite(outputs).all(axis=1)])
    rows = np.concatenate(seen)
    if not len(rows) or np.ptp(rows, axis=0).max() == 0:
        return ""
    return "softmax" if np.abs(rows.sum(axis=1) - 1).max() < _SUM else "sigmoid"


def probes(image_shape: ImageShape) -> Iterator[np.ndarray]:
    """Yield batches of eight images: noise, flat ones and gratings, in [0, 1] and far beyond."""
    draw = np.random.default_rng(0)
    noise = draw.uniform(size=(4, *image_shape))
    flat = np.ones((2, *image_shape)) * np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    rows, columns = np.indices(image_shape[:2])
    gratings = np.stack([rows % 2, columns // 2 % 2])[..., None] * np.ones((1, *image_shape))
    images = np.concatenate([noise, flat, gratings]).astype(np.float32)
    for magnitude in _MAGNITUDES:
        yield images * np.float32(magnitude)


def check_values(call: Callable[[Images], Any], image_shape: ImageShape, name: str) -> None:
    """Refuse a classifier whose outputs are probabilities, whatever images it is shown.

    Raises:
        NoLogitsError: every output is in [0, 1].
        ClassifierError: it cannot be called.
    """
    try:
        kind = looks_bounded(call, image_shape)
    except Exception as error:  # a stranger's model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    if kind == "softmax":
        raise NoLogitsError(
            f"{name}: returns probabilities, and attacks on those are weaker than they look; "
            "export it without its softmax, or convert it: --to-logits"
        )
    if kind:
        raise NoLogitsError(
            f"{name}: returns numbers in [0, 1] as a sigmoid does, and attacks on those are weaker "
            "than they look; export it without its last activation"
        )


def masked_classes(logits: np.ndarray) -> str:
    """Return the classes that are −∞ for every image, where all others are finite; else nothing."""
    if logits.ndim != 2:
        return ""
    least = np.isneginf(logits).all(axis=0)
    if least.all() or not np.isfinite(logits[:, ~least]).all():
        return ""
    return ", ".join(map(str, np.flatnonzero(least)))


def logarithms(probabilities: Any) -> Any:
    """Return log p, float32; finite where p is 0."""
    return tf.math.log(tf.maximum(tf.cast(probabilities, tf.float32), TINY))
