"""Re-checks every adversarial image; trusts no attack.

Predictions and distances are computed anew. An image outside the ball, outside [0, 1] or with a
NaN is a *violation*: counted, and scored as a failed attack.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine import BATCH_SIZE, predict
from tfrobust.errors import ClassifierError
from tfrobust.types import Flags, Images, Labels, PerImage

# x + eps rounds to the nearest float32, up to 6e-8 away; a sum over pixels to a few more.
_SLACK = 1e-6
_MEASURED = 1024  # images whose distances are computed at a time, in float64


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


def clean_predictions(
    classifier: Classifier, images: Images, name: str = "classifier", batch_size: int = BATCH_SIZE
) -> Labels:
    """Return the predicted classes, int64 `(n,)`.

    Raises:
        ClassifierError: a logit is NaN.
    """
    logits = predict(classifier, images, batch_size)
    if np.isnan(logits).any():
        raise ClassifierError(f"{name}: returns NaN logits; its weights are damaged")
    return logits.argmax(axis=1).astype(np.int64)


def audit(
    classifier: Classifier,
    attack: Attack,
    images: Images,
    labels: Labels,
    adversarial: Images,
    *,
    clean: Labels,
    targets: Labels | None = None,
    batch_size: int = BATCH_SIZE,
) -> Audit:
    """Judge adversarial images against the threat model the attack declares.

    Args:
        classifier: whom they should fool.
        attack: for its norm, its budget and whether it minimises the norm.
        images: the clean images, float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        adversarial: what the attack returned, `(n, height, width, channels)`.
        clean: int64 `(n,)`: what the classifier predicts for the clean images.
        targets: int64 `(n,)` for a targeted attack.
        batch_size: images at a time.

    Returns:
        The fate of every image.
    """
    finite = np.isfinite(adversarial).all(axis=(1, 2, 3))
    measurable = np.where(finite[:, None, None, None], adversarial, images)
    distance = distances(images, measurable)
    in_range = (measurable.min(axis=(1, 2, 3)) >= 0) & (measurable.max(axis=(1, 2, 3)) <= 1)
    within = _within_budget(attack, distance)
    violation = ~(finite & in_range & (within | attack.minimum_norm))
    counts = ~violation & within
    predicted = clean_predictions(classifier, measurable, batch_size=batch_size)
    prediction = np.where(counts, predicted, clean)
    hit = predicted == targets if targets is not None else predicted != labels
    reached = hit & ~violation
    return Audit(prediction, counts & reached, reached, violation, distance)


def distances(images: Images, others: Images) -> dict[str, PerImage]:
    """Return the distance of each image in every norm; see `Audit.distance`."""
    found: dict[str, list[PerImage]] = {"l0": [], "l1": [], "l2": [], "linf": []}
    for start in range(0, len(images), _MEASURED):
        rows = slice(start, start + _MEASURED)
        change = np.abs(others[rows].astype(np.float64) - images[rows])
        found["l0"].append((change > 0).any(axis=3).sum(axis=(1, 2)).astype(np.float64))
        found["l1"].append(change.sum(axis=(1, 2, 3)))
        found["l2"].append(np.sqrt(np.square(change).sum(axis=(1, 2, 3))))
        found["linf"].append(change.max(axis=(1, 2, 3)))
    return {norm: np.concatenate(parts) for norm, parts in found.items()}


def _within_budget(attack: Attack, distance: dict[str, PerImage]) -> Flags:
    norm, budget = attack.threat.norm, attack.budget
    count = len(distance["linf"])
    if budget is None or norm is None:
        return np.ones(count, bool)
    return distance[norm] <= budget + _SLACK * max(1.0, budget)
