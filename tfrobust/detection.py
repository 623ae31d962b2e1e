"""Detectors judged: fitted on training images, scored on attacked ones they never saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score, roc_curve

from tfrobust import results
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.detector import Detector, FittedDetector
from tfrobust.engine import run_attack
from tfrobust.inference import BATCH_SIZE, in_batches
from tfrobust.object_boxes import boxes_for
from tfrobust.registry import signature
from tfrobust.scenario import Scenario, arrays
from tfrobust.traces import Traces
from tfrobust.types import Images, PerImage
from tfrobust.verdicts import Attacked, Plan

_SCORERS: Traces[Callable[..., Any]] = Traces(most=16)


@dataclasses.dataclass(frozen=True)
class FittingImages:
    """What detectors learn from: images of the training split, before and after an attack.

    Attributes:
        clean: float32 `(n, height, width, channels)`.
        adversarial: the same ones attacked.
    """

    clean: Images
    adversarial: Images


@dataclasses.dataclass(frozen=True)
class Judged:
    """One detector against one attack.

    Attributes:
        result: the line of `results.json`.
        clean: float32 `(n,)`: the scores of the plan's clean images.
        adversarial: those of the same images attacked.
    """

    result: results.DetectorResult
    clean: PerImage
    adversarial: PerImage


def attacked_training_images(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> FittingImages:
    """Attack the first `count` training images, for detectors to learn from.

    A targeted attack is given random targets.
    """
    clean, labels = arrays(scenario, "train", count)
    crafted = run_attack(
        attack,
        classifier,
        clean,
        labels,
        targets="random",
        boxes=boxes_for([attack], scenario, "train", count),
        seed=seed,
        batch_size=batch_size,
    )
    return FittingImages(clean, crafted.images)


def judge_detectors(
    detectors: Sequence[Detector],
    attacked: Sequence[Attacked],
    plan: Plan,
    classifier: Classifier,
    to_fit: Callable[[Attack], FittingImages],
) -> list[Judged]:
    """Fit each detector against each attack and judge it on the plan's images.

    Args:
        detectors: unfitted.
        attacked: the plan's images under each attack; each gives a detector of its own.
        plan: the images to judge on.
        classifier: who is protected.
        to_fit: gives the images to learn an attack from.

    Returns:
        One line for every attack and detector.
    """
    found = []
    for each in attacked:
        images = to_fit(each.attack)
        for detector in detectors:
            fitted = fitted_on(images, detector, classifier, seed=plan.seed)
            boundary = threshold(fitted, images, plan.batch_size)
            clean = scores(fitted, plan.images, plan.batch_size)
            adversarial = scores(fitted, each.images, plan.batch_size)
            result = results.DetectorResult(
                **signature(detector),
                attack=each.result.name,
                **figures(clean, adversarial, boundary),
            )
            found.append(Judged(result, clean, adversarial))
    return found


def fitted_on(
    images: FittingImages, detector: Detector, classifier: Classifier, *, seed: int = 0
) -> FittedDetector:
    """Fit a detector; one seed gives one detector, whatever was fitted before.

    Its Monte Carlo passes draw from generators that are made here, so the seed of everything random
    in the process is set first.
    """
    keras.utils.set_random_seed(seed)
    return detector.fit(classifier, images.clean, images.adversarial)


def scores(fitted: FittedDetector, images: Images, batch_size: int = BATCH_SIZE) -> PerImage:
    """Return the scores of all images, float32 `(n,)`."""
    return in_batches(_scorer(fitted), images, batch_size)


def _scorer(fitted: FittedDetector) -> Callable[..., Any]:
    if fitted.eager:
        return fitted.score
    return _SCORERS.of(fitted, "score", lambda: tf.function(fitted.score, reduce_retracing=True))


def threshold(fitted: FittedDetector, images: FittingImages, batch_size: int = BATCH_SIZE) -> float:
    """Return a detector's own boundary, or the best one on the images it was fitted on."""
    if fitted.threshold is not None:
        return fitted.threshold
    clean = scores(fitted, images.clean, batch_size)
    return best_threshold(clean, scores(fitted, images.adversarial, batch_size))


def best_threshold(clean: PerImage, adversarial: PerImage) -> float:
    """Return the score above which to call an image adversarial: fewest errors, both kinds alike.

    Example:
        >>> best_threshold(np.array([0.0, 1.0]), np.array([2.0, 4.0]))
        1.5
    """
    truth, both = _stacked(clean, adversarial)
    false_alarms, caught, cuts = roc_curve(truth, both, drop_intermediate=False)
    best = int(np.argmax(caught - false_alarms))
    if best == 0:  # calling nothing adversarial is best
        return float(both.max())
    below = both[both < cuts[best]]  # adversarial from this cut on
    return float(
        (cuts[best] + below.max()) / 2 if len(below) else np.nextafter(cuts[best], -np.inf)
    )


def figures(clean: PerImage, adversarial: PerImage, boundary: float) -> dict[str, Any]:
    """Return the figures of `results.DetectorResult`.

    Args:
        clean: scores `(n,)` of clean images.
        adversarial: scores `(m,)` of adversarial ones; higher is more suspicious.
        boundary: scores above it mean adversarial.
    """
    auroc, tpr = separation(clean, adversarial)
    right = np.concatenate([clean <= boundary, adversarial > boundary])
    return {
        "auroc": auroc,
        "tpr_at_5_fpr": tpr,
        "accuracy": float(right.mean()),
        "threshold": boundary,
        "clean": results.Moments.of(clean),
        "adversarial": results.Moments.of(adversarial),
    }


def separation(clean: PerImage, adversarial: PerImage) -> tuple[float, float]:
    """Return the AUROC, and the share of adversarial images caught at 5 % false alarms.

    Args:
        clean: scores `(n,)` of clean images.
        adversarial: scores `(m,)` of adversarial ones; higher is more suspicious.

    Example:
        >>> separation(np.zeros(20), np.ones(20))
        (1.0, 1.0)
    """
    truth, both = _stacked(clean, adversarial)
    false_alarms, caught, _ = roc_curve(truth, both, drop_intermediate=False)
    return float(roc_auc_score(truth, both)), float(caught[false_alarms <= 0.05].max())


def _stacked(clean: PerImage, adversarial: PerImage) -> tuple[np.ndarray, np.ndarray]:
    truth = np.concatenate([np.zeros(len(clean)), np.ones(len(adversarial))])
    return truth, np.concatenate([clean, adversarial])


def score_rows(number: int, judged: Sequence[Judged]) -> dict[str, np.ndarray]:
    """Return the scores of evaluation `number`'s detectors for `outcomes.npz`."""
    rows = {}
    for k, each in enumerate(judged):
        rows[f"e{number}_d{k}_clean"] = each.clean
        rows[f"e{number}_d{k}_adversarial"] = each.adversarial
    return rows
