"""Detectors judged: fitted on training images, scored on attacked ones they never saw.

The images of an attack that fails are adversarial in name only: they fool no classifier, and there
is nothing in them to detect. So every figure is given twice: over all attacked images, and over
those that fooled the classifier.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score, roc_curve

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, in_batches
from tfrobust.classifiers.random_state import reseed, set_generators
from tfrobust.classifiers.traces import Traces
from tfrobust.detector import Detector, FittedDetector
from tfrobust.evaluation.blocks.rows import DetectorRows
from tfrobust.evaluation.fitting_images import FittingImages
from tfrobust.registry import name_of, signature
from tfrobust.results.detectors import DetectorResult, FittedOn, Moments, OverFooling
from tfrobust.types import Flags, Images, PerImage

_SCORERS: Traces[Callable[..., Any]] = Traces(most=256)  # every block comes back to each


@dataclasses.dataclass(frozen=True)
class ReadyDetector:
    """A detector that is fitted against one attack.

    Attributes:
        fitted: itself.
        threshold: scores above it mean adversarial.
        fitted_on: what it learned from.
    """

    fitted: FittedDetector
    threshold: float
    fitted_on: FittedOn

    def rows(
        self, clean: Images, adversarial: Images, batch_size: int = BATCH_SIZE, *what: object
    ) -> DetectorRows:
        """Return the scores of images before and after an attack.

        Args:
            clean: float32 `(n, height, width, channels)`.
            adversarial: the same ones, attacked.
            batch_size: images at a time.
            what: seed and block, for example: a detector that draws draws the same for the same.
        """

        def scored(kind: str, images: Images) -> PerImage:
            _reseed(self.fitted, images[:1], *what, kind)
            return scores(self.fitted, images, batch_size)

        before, after = scored("clean", clean), scored("adversarial", adversarial)
        return DetectorRows(before, after, self.threshold, self.fitted_on)


def ready_detectors(
    detectors: Sequence[Detector],
    images: FittingImages,
    classifier: Classifier,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> list[ReadyDetector]:
    """Fit detectors against one attack.

    Args:
        detectors: unfitted.
        images: what there is to learn the attack from.
        classifier: who is protected.
        seed: decides everything random.
        batch_size: images at a time.
    """
    ready = []
    for detector in detectors:
        reseed(classifier, seed, "fits", signature(detector))
        fitted = fitted_on(images, detector, classifier, seed=seed)
        boundary = threshold(fitted, images, batch_size)
        ready.append(ReadyDetector(fitted, boundary, images.record))
    return ready


def judge_detector(
    detector: Detector, attack: Attack, rows: DetectorRows, fooled: Flags
) -> DetectorResult:
    """Return the line of `results.json` of one detector against one attack.

    Args:
        detector: with its options.
        attack: with its options.
        rows: the scores of all images.
        fooled: bool `(n,)`: the images that fooled the classifier.
    """
    clean, adversarial = rows.clean, rows.adversarial
    return DetectorResult(
        **signature(detector),
        attack=name_of(attack),
        norm=attack.threat.norm,
        eps=attack.budget,
        **figures(clean, adversarial, rows.threshold),
        attacked=len(adversarial),
        fooled=over_fooling(clean, adversarial[fooled], rows.threshold),
        fitted_on=rows.fitted_on,
    )


def fitted_on(
    images: FittingImages, detector: Detector, classifier: Classifier, *, seed: int = 0
) -> FittedDetector:
    """Fit a detector; one seed always gives the same detector.

    Its Monte Carlo passes draw from generators that are created here. So the global seed is set
    first.
    """
    keras.utils.set_random_seed(seed)
    return detector.fit(classifier, images.clean, images.learned)


def scores(fitted: FittedDetector, images: Images, batch_size: int = BATCH_SIZE) -> PerImage:
    """Return the scores of all images, float32 `(n,)`."""
    return in_batches(_scorer(fitted), images, batch_size)


def _scorer(fitted: FittedDetector) -> Any:
    if fitted.eager:
        return fitted.score
    return _SCORERS.of(fitted, "score", lambda: tf.function(fitted.score, reduce_retracing=True))


def _reseed(fitted: FittedDetector, one: Images, *what: object) -> None:
    """Set what the detector draws next, if it draws."""
    if not fitted.eager:
        set_generators(_scorer(fitted).get_concrete_function(tf.constant(one)).graph, *what)


def threshold(fitted: FittedDetector, images: FittingImages, batch_size: int = BATCH_SIZE) -> float:
    """Return a detector's own boundary, or the best one on the images it was fitted on."""
    if fitted.threshold is not None:
        return fitted.threshold
    clean = scores(fitted, images.clean, batch_size)
    return best_threshold(clean, scores(fitted, images.learned, batch_size))


def best_threshold(clean: PerImage, adversarial: PerImage) -> float:
    """Return the threshold with the fewest errors; both kinds of image have the same weight.

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


class Figures(TypedDict):
    """The figures of a `DetectorResult` over all attacked images."""

    auroc: float
    tpr_at_5_fpr: float
    accuracy: float
    threshold: float
    clean: Moments
    adversarial: Moments


def figures(clean: PerImage, adversarial: PerImage, boundary: float) -> Figures:
    """Return the figures of a `DetectorResult`.

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
        "clean": Moments.of(clean),
        "adversarial": Moments.of(adversarial),
    }


def over_fooling(clean: PerImage, fooling: PerImage, boundary: float) -> OverFooling:
    """Return the figures over the images that fooled the classifier.

    Args:
        clean: scores `(n,)` of clean images.
        fooling: scores `(m,)` of the attacked ones that fooled, 0 or more.
        boundary: scores above it mean adversarial.
    """
    if not len(fooling):
        return OverFooling(images=0)
    auroc, tpr = separation(clean, fooling)
    return OverFooling(
        images=len(fooling),
        auroc=auroc,
        tpr_at_5_fpr=tpr,
        accuracy=float(((clean <= boundary).mean() + (fooling > boundary).mean()) / 2),
        adversarial=Moments.of(fooling),
    )


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
