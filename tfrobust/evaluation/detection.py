"""Detectors judged: fitted on training images, scored on attacked ones they never saw.

An attack that fails makes images that are adversarial in name only: nobody is fooled, and nothing
gives them away. So every figure is told twice, over all attacked images and over those that fooled
the classifier; and a detector learns from the latter alone, where there are `ENOUGH`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score, roc_curve

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions, in_batches
from tfrobust.classifiers.traces import Traces
from tfrobust.data.reading import arrays
from tfrobust.detector import Detector, FittedDetector
from tfrobust.engine.object_boxes import boxes_for
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.evaluation import results
from tfrobust.evaluation.audit import audit
from tfrobust.evaluation.judging import Attacked, Plan, left_to_do
from tfrobust.registry import signature
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Flags, Images, Labels, PerImage

_SCORERS: Traces[Callable[..., Any]] = Traces(most=16)
ENOUGH = 30  # images that fooled: ten for each number that the largest regression here learns


@dataclasses.dataclass(frozen=True)
class Lesson:
    """Images of the training split, before and after an attack.

    Attributes:
        clean: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        boxes: of an attack on a region.
        crafted: what the attack made of them.
    """

    clean: Images
    labels: Labels
    boxes: Boxes | None
    crafted: Crafted


@dataclasses.dataclass(frozen=True)
class FittingImages:
    """What detectors learn from.

    Attributes:
        clean: float32 `(n, height, width, channels)`.
        adversarial: the same ones attacked.
        fooled: bool `(n,)`: the attacked ones that fooled the classifier.
    """

    clean: Images
    adversarial: Images
    fooled: Flags

    @property
    def only_fooling(self) -> bool:
        """Whether so many fooled that nothing needs to be learned from the others."""
        return int(self.fooled.sum()) >= ENOUGH

    @property
    def learned(self) -> Images:
        """The attacked images that are learned from."""
        return self.adversarial[self.fooled] if self.only_fooling else self.adversarial

    @property
    def record(self) -> results.FittedOn:
        """How many there are, for `results.json`."""
        return results.FittedOn(
            clean=len(self.clean),
            adversarial=len(self.learned),
            fooling=int(self.fooled.sum()),
            only_fooling=self.only_fooling,
        )


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
    attack: Attack, classifier: Classifier, scenario: Scenario, count: int, *, seed: int = 0
) -> FittingImages:
    """Attack the first `count` training images of a classifier, for its detectors to learn from."""
    made = lesson(attack, classifier, scenario, count, seed=seed)
    return fitting_images(made, attack, classifier)


def lesson(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> Lesson:
    """Attack the first `count` training images; `fitting_images` are made of them.

    A targeted attack is given random targets.
    """
    clean, labels = arrays(scenario, "train", count)
    boxes = boxes_for([attack], scenario, "train", count)
    crafted = run_attack(
        attack,
        classifier,
        clean,
        labels,
        targets="random",
        boxes=boxes,
        seed=seed,
        batch_size=batch_size,
    )
    return Lesson(clean, labels, boxes, crafted)


def fitting_images(
    made: Lesson, attack: Attack, classifier: Classifier, *, batch_size: int = BATCH_SIZE
) -> FittingImages:
    """Tell which attacked images fooled a classifier, within the attack's budget."""
    clean = clean_predictions(classifier, made.clean, batch_size=batch_size)
    judged = audit(
        classifier,
        attack,
        made.clean,
        made.labels,
        made.crafted.images,
        clean=clean,
        targets=made.crafted.targets,
        boxes=made.boxes,
        batch_size=batch_size,
    )
    fooled = judged.success & left_to_do(attack, clean, made.labels)
    return FittingImages(made.clean, made.crafted.images, fooled)


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
                attacked=len(adversarial),
                fooled=over_fooling(clean, adversarial[each.fooled], boundary),
                fitted_on=images.record,
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
    return detector.fit(classifier, images.clean, images.learned)


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
    return best_threshold(clean, scores(fitted, images.learned, batch_size))


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


def over_fooling(clean: PerImage, fooling: PerImage, boundary: float) -> results.OverFooling:
    """Return the figures over the images that fooled the classifier.

    Args:
        clean: scores `(n,)` of clean images.
        fooling: scores `(m,)` of the attacked ones that fooled, 0 or more.
        boundary: scores above it mean adversarial.
    """
    if not len(fooling):
        return results.OverFooling(images=0)
    auroc, tpr = separation(clean, fooling)
    return results.OverFooling(
        images=len(fooling),
        auroc=auroc,
        tpr_at_5_fpr=tpr,
        accuracy=float(((clean <= boundary).mean() + (fooling > boundary).mean()) / 2),
        adversarial=results.Moments.of(fooling),
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


def score_rows(number: int, judged: Sequence[Judged]) -> dict[str, np.ndarray]:
    """Return the scores of evaluation `number`'s detectors for `outcomes.npz`."""
    rows = {}
    for k, each in enumerate(judged):
        rows[f"e{number}_d{k}_clean"] = each.clean
        rows[f"e{number}_d{k}_adversarial"] = each.adversarial
    return rows
