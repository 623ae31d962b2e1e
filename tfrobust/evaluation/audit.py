"""Checks every adversarial image again; trusts no attack.

Predictions and distances are recomputed. An image outside the ball, outside [0, 1], with a NaN,
or changed outside of the attack's region, is a *violation*: counted, and scored as a failed attack.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions, predict
from tfrobust.engine.object_boxes import strays
from tfrobust.norms.distances import distances, within_budget
from tfrobust.types import Boxes, Flags, Images, Labels, PerImage


@dataclasses.dataclass(frozen=True)
class Audit:
    """The fate of every image under one attack.

    Attributes:
        prediction: int64 `(n,)`: the class predicted for what counts: the adversarial image, or
            the clean one where the attack failed by violation or beyond its budget.
        success: bool `(n,)`: the attack reached its goal, within its budget, without violation.
        reached: bool `(n,)`: the same at any distance; what a minimum-norm attack's curve is
            drawn from.
        violation: bool `(n,)`.
        distance: norm → float64 `(n,)`: `l0` changed pixels (all channels as one), `l1` sum of
            the changes, `l2` their Euclidean length, `linf` the largest of them.
    """

    prediction: Labels
    success: Flags
    reached: Flags
    violation: Flags
    distance: dict[str, PerImage]


@dataclasses.dataclass(frozen=True)
class CleanImages:
    """Images before an attack.

    Attributes:
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        predicted: int64 `(n,)`: what the classifier predicts for them.
        boxes: float32 `(n, most, 4)`, of an attack on a region; see `run_attack`.
    """

    images: Images
    labels: Labels
    predicted: Labels
    boxes: Boxes | None = None


def audit(
    classifier: Classifier,
    attack: Attack,
    images: Images,
    labels: Labels,
    adversarial: Images,
    *,
    clean: Labels,
    targets: Labels | None = None,
    boxes: Boxes | None = None,
) -> Audit:
    """Judge adversarial images against the threat model that the attack declares.

    Args:
        classifier: the classifier that they should fool.
        attack: for its norm, its budget and whether it minimises the norm.
        images: the clean images, float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        adversarial: what the attack returned, `(n, height, width, channels)`.
        clean: int64 `(n,)`: what the classifier predicts for the clean images.
        targets: int64 `(n,)` for a targeted attack.
        boxes: of an attack on a region; see `run_attack`.

    Returns:
        The fate of every image.

    Raises:
        UsageError: an attack on a region, without boxes.
    """
    before = CleanImages(images, labels, clean, boxes)
    return audit_images(classifier, attack, before, adversarial, targets=targets)


def audit_images(
    classifier: Classifier,
    attack: Attack,
    clean: CleanImages,
    adversarial: Images,
    *,
    targets: Labels | None = None,
    batch_size: int = BATCH_SIZE,
) -> Audit:
    """Do what `audit` does, with `batch_size` images at a time."""
    finite = np.isfinite(adversarial).all(axis=(1, 2, 3))
    measurable = adversarial
    if not finite.all():
        measurable = np.where(finite[:, None, None, None], adversarial, clean.images)
    distance = distances(clean.images, measurable)
    in_range = (measurable.min(axis=(1, 2, 3)) >= 0) & (measurable.max(axis=(1, 2, 3)) <= 1)
    norm = attack.threat.norm
    within = within_budget(distance[norm or "linf"], attack.budget if norm else None)
    violation = ~(finite & in_range & (within | attack.minimum_norm))
    violation |= strays(attack, clean.images, adversarial, clean.boxes)
    counts = ~violation & within
    predicted = _predicted(classifier, measurable, clean.predicted, batch_size)
    prediction = np.where(counts, predicted, clean.predicted)
    aims = clean.labels if attack.corrective else targets
    hit = predicted != clean.labels if aims is None else predicted == aims
    reached = hit & ~violation
    return Audit(prediction, counts & reached, reached, violation, distance)


def _predicted(classifier: Classifier, images: Images, clean: Labels, batch_size: int) -> Labels:
    """Return the predicted classes; those of the clean images where no answer can be paid for."""
    if classifier.meter is None:
        return clean_predictions(classifier, images, batch_size=batch_size)
    with classifier.meter.lenient():
        logits = predict(classifier, images, batch_size)
    answered = ~np.isnan(logits).any(axis=1)
    return np.where(answered, logits.argmax(axis=1), clean)
