"""Which classes targeted attacks must reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, get_args

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, predict
from tfrobust.errors import UsageError
from tfrobust.types import Flags, Images, Labels, Logits, TargetRule

_PROBED = 16  # noise images, in addition to those that are attacked
_FAR = 100.0  # times as far as the logits move: out of reach


@dataclasses.dataclass(frozen=True)
class Portion:
    """Which of many images some are, whose targets are chosen as among all of them.

    Attributes:
        first: the position of the first one. The rule `random` draws for each image what it draws
            for it among all.
        within_reach: bool `(classes,)`: which classes can be reached at all; see `reachable`.
    """

    first: int
    within_reach: Flags


def choose_targets(
    targets: Labels | TargetRule,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    known: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    portion: Portion | None = None,
) -> Labels:
    """Return the class each image of a targeted attack must reach, int64 `(n,)`.

    Args:
        targets: the classes themselves, or the rule: see `run_attack`.
        classifier: asked for its `least_likely` classes, and which it can be brought to at all.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`, never chosen.
        known: the rules choose among the first `known` classes; none: among all.
        seed: for the rule `random`.
        batch_size: images at a time.
        portion: which of many images these are; `None`: these are all.

    Raises:
        UsageError: no targets, an unknown rule, classes out of range, or a true class as target.
    """
    classes = known or classifier.num_classes
    if targets is None:
        raise UsageError(
            "targets: a targeted attack needs the classes to reach, or a rule: least_likely, next "
            "or random; received: none"
        )
    if not isinstance(targets, str):
        return _given_targets(np.asarray(targets, np.int64), labels, classifier.num_classes)
    if targets not in get_args(TargetRule):
        raise UsageError(f"target: expected least_likely, next or random; received: {targets!r}")
    logits = None
    if portion is None or targets == "least_likely":
        logits = predict(classifier, images, batch_size)
    if portion is None:
        portion = Portion(0, _within_reach(logits, classifier))
    within_reach = portion.within_reach[:classes]
    if logits is not None and targets == "least_likely":
        allowed = np.tile(within_reach, (len(labels), 1))
        allowed[np.arange(len(labels)), labels] = False
        return np.where(allowed, logits[:, :classes], np.inf).argmin(axis=1).astype(np.int64)
    allowed_classes = np.flatnonzero(within_reach)
    after = np.searchsorted(allowed_classes, labels, side="right")  # the first one above the label
    step: Any = 1
    if targets == "random":
        count = portion.first + len(labels)
        steps = np.random.default_rng(seed).integers(1, len(allowed_classes), size=count)
        step = steps[portion.first :]
    return np.asarray(allowed_classes[(after + step - 1) % len(allowed_classes)], np.int64)


def reachable(
    classifier: Classifier, batches: Iterable[Images], batch_size: int = BATCH_SIZE
) -> Flags:
    """Return which classes targeted attacks can reach at all, bool `(classes,)`.

    Args:
        classifier: to attack.
        batches: some of those that are attacked, float32 `(n, height, width, channels)` each; no
            more than one of them is held.
        batch_size: images at a time.
    """
    logits = [predict(classifier, images, batch_size) for images in batches]
    return _within_reach(np.concatenate(logits), classifier)


def _within_reach(logits: Logits, classifier: Classifier) -> Flags:
    """Tell which classes can be reached at all, bool `(classes,)`.

    A class that is masked by a large negative logit is the least likely one of every image, and no
    attack reaches it. Its logit is much farther from the largest one than any other logit moves
    from image to image. Noise is classified as well, for there may be only one image.
    """
    shape = (_PROBED, *classifier.image_shape)
    noise = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    logits = np.concatenate([logits, predict(classifier, noise)]).astype(np.float64)
    top = np.sort(logits, axis=1)[:, -2:]
    behind = top[:, 1:] - logits
    moving = np.ptp(behind, axis=0) + np.median(top[:, 1] - top[:, 0])
    reached = behind.min(axis=0) <= _FAR * moving
    return reached if reached.sum() > 1 else np.ones_like(reached)


def one_class(target: int, labels: Labels, classifier: Classifier) -> Labels:
    """Return one target for all images, int64 `(n,)`.

    An image whose true class is the target gets the next class instead, which an attack on the one
    class hardly ever reaches: such images count as not broken.

    Example:
        >>> one_class(2, np.array([0, 1, 2]), classifier)  # of three classes
        array([2, 2, 0])
    """
    targets = np.where(labels == target, (labels + 1) % classifier.num_classes, target)
    return targets.astype(np.int64)


def _given_targets(targets: Labels, labels: Labels, classes: int) -> Labels:
    if targets.shape != labels.shape or targets.min() < 0 or targets.max() >= classes:
        raise UsageError(
            f"targets: expected {labels.shape} classes from 0 to {classes - 1}; "
            f"received: {targets.shape} from {targets.min()} to {targets.max()}"
        )
    if np.any(targets == labels):
        raise UsageError(
            f"targets: image {int(np.argmax(targets == labels))} has its true class as target; "
            "a targeted attack needs another one"
        )
    return targets
