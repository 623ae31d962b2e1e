"""Whether a classifier answers in logits, asked of its values: are they bounded.

Honest logits need not grow with the images: a network may normalise its features, clip its input or
read its sign. They stop at a value of their own in every class, where a tanh or a sigmoid stops
all classes at the same two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import Images, ImageShape

TINY = float(np.finfo(np.float32).tiny)
_MAGNITUDES = (1.0, -1.0, 8.0, 64.0, -64.0, 512.0)  # of probes; logits grow with the images
_FAR = (2.0**15, -(2.0**15))  # half precision ends beyond it
_SUM = 1e-2  # that rows of probabilities in bfloat16 miss 1 by, with room
_REACHED = 1e-3  # of the range, that a saturated output may be off its end
_ENOUGH = 10  # rows on far images that are finite, of 14
_BLACK = 4  # the black one among eight probes
_NEARLY_ALL = 0.9  # of the outputs on far images are saturated where a function bounds them
SATURATED, DOUBTFUL = "saturated", "doubtful"


class NoLogitsError(ClassifierError):
    """A classifier answers in probabilities or the like; it may be converted when it is loaded."""


def looks_bounded(call: Callable[[Images], Any], image_shape: ImageShape) -> str:
    """Tell by its values what bounds a classifier's outputs.

    Honest logits may lie in [0, 1] on images; they leave it on brighter and darker ones than there
    are, which are tried too. Outputs that never change are no evidence.

    Returns:
        `softmax` where no output is negative and rows have one sum, at the precision of bfloat16,
        whatever the sum; `sigmoid` where all are in [0, 1]; `saturated` where nearly all outputs
        on far images are at one of two values, the same in several classes, and those on images
        are not; `doubtful` where that may have another reason; the empty string else.

    Example:
        >>> looks_bounded(lambda images: tf.nn.softmax(classifier(images)), (8, 8, 1))
        'softmax'
    """
    near, far = (
        [
            np.asarray(tf.cast(call(tf.constant(images)), tf.float32))
            for images in probes(image_shape, m)
        ]
        for m in (_MAGNITUDES, _FAR)
    )
    seen = np.concatenate(near)
    rows = seen[np.isfinite(seen).all(axis=1)]
    if not len(rows) or np.ptp(rows, axis=0).max() == 0 or _are_logarithms(rows):
        return ""
    if _is_shared_out(np.concatenate([rows, *far])):
        return "softmax"
    if not ((seen < 0).any() or (seen > 1).any()):  # NaN is neither
        return "softmax" if np.abs(rows.sum(axis=1) - 1).max() < _SUM else "sigmoid"
    far = [np.delete(outputs, _BLACK, axis=0) for outputs in far]  # which is near, however large
    return _saturation(near[0], rows, np.concatenate(far))


def _are_logarithms(rows: np.ndarray) -> bool:
    """Tell whether rows are logarithms of probabilities: logits, with a floor where p may be 0."""
    if rows.max() > _SUM:
        return False
    return bool(np.abs(np.exp(rows).sum(axis=1) - 1).max() < _SUM)


def _is_shared_out(rows: np.ndarray) -> bool:
    """Tell whether rows share out one sum, and some row gives most of it to a single class."""
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    sums = rows.sum(axis=1)
    total = sums.mean()
    return bool(
        rows.shape[1] > 1
        and rows.min() >= 0 < total
        and np.abs(sums - total).max() < _SUM * total
        and rows.max() > total / 2
        and np.ptp(rows, axis=0).max() > 0
    )


def _saturation(images: np.ndarray, rows: np.ndarray, far: np.ndarray) -> str:
    """Tell whether the outputs on far images are those of a function that bounds them.

    Two classes prove nothing: z and -z of a network that reads the sign of its input, or clips it,
    stop at the same two values too.

    Args:
        images: the outputs on images.
        rows: those and others, all finite.
        far: the outputs on far images.
    """
    far = far[np.isfinite(far).all(axis=1)]
    if len(far) < _ENOUGH:
        return ""
    both = np.concatenate([rows, far])
    moving = np.ptp(both, axis=0) > _REACHED * np.ptp(both)  # a masked class does not
    images, rows, far = images[:, moving], rows[:, moving], far[:, moving]
    if not moving.any():
        return ""
    least, most = far.min(), far.max()
    room = _REACHED * (most - least)
    if room == 0 or rows.min() < least - room or rows.max() > most + room:
        return ""
    low, high = far <= least + room, far >= most - room
    several = min(low.any(axis=0).sum(), high.any(axis=0).sum()) > 1
    if not several or (low | high).mean() < _NEARLY_ALL:
        return ""
    at_once = ((images <= least + room) | (images >= most - room)).mean() > 0.5
    return DOUBTFUL if far.shape[1] == 2 or at_once else SATURATED


def probes(
    image_shape: ImageShape, magnitudes: Sequence[float] = _MAGNITUDES
) -> Iterator[np.ndarray]:
    """Yield batches of eight images: noise, flat ones and gratings, in [0, 1] and far beyond."""
    draw = np.random.default_rng(0)
    noise = draw.uniform(size=(4, *image_shape))
    flat = np.ones((2, *image_shape)) * np.array([0.0, 1.0]).reshape(2, 1, 1, 1)
    rows, columns = np.indices(image_shape[:2])
    gratings = np.stack([rows % 2, columns // 2 % 2])[..., None] * np.ones((1, *image_shape))
    images = np.concatenate([noise, flat, gratings]).astype(np.float32)
    for magnitude in magnitudes:
        yield images * np.float32(magnitude)


def check_values(
    call: Callable[[Images], Any], image_shape: ImageShape, name: str
) -> tuple[str, ...]:
    """Refuse a classifier whose outputs are bounded, whatever images it is shown.

    Returns:
        A sentence where that is in doubt.

    Raises:
        NoLogitsError: a softmax, a sigmoid, a tanh or the like bounds them.
        ClassifierError: it cannot be called.
    """
    try:
        kind = looks_bounded(call, image_shape)
    except Exception as error:  # a third-party model may raise anything
        raise ClassifierError(f"{name}: cannot be called ({one_line(error)})") from error
    if kind == "softmax":
        raise NoLogitsError(
            f"{name}: returns probabilities, and attacks on those are weaker than they look; "
            "export it without its softmax, or convert it: --to-logits"
        )
    if kind == "sigmoid":
        raise NoLogitsError(
            f"{name}: returns numbers in [0, 1] as a sigmoid does, and attacks on those are weaker "
            "than they look; export it without its last activation; if they are logits, multiply "
            "them in the model by a constant that brings some above 1, which changes no decision"
        )
    if kind == SATURATED:
        raise NoLogitsError(
            f"{name}: returns numbers that stop at the same two values in several classes as those "
            "of a tanh do, and attacks on those are weaker than they look; export it without its "
            "last activation"
        )
    if kind == DOUBTFUL:
        return (
            "its outputs stop at the same two values in several classes; if a tanh or the like "
            "bounds them, attacks look weaker than they are: leave it out",
        )
    return ()


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
