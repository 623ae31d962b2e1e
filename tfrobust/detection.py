"""Detectors judged: fitted on training images, scored on attacked ones they never saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score, roc_curve

from tfrobust import results
from tfrobust.classifier import Classifier
from tfrobust.detector import Detector
from tfrobust.engine import run_attack
from tfrobust.registry import signature
from tfrobust.scenario import Scenario, arrays
from tfrobust.targets import TargetRule
from tfrobust.types import PerImage
from tfrobust.verdicts import Attacked, Plan


def judge_detectors(
    detectors: Sequence[Detector],
    attacked: Sequence[Attacked],
    plan: Plan,
    scenario: Scenario,
    classifier: Classifier,
) -> list[results.DetectorResult]:
    """Fit each detector against each attack on training images and judge it on the plan's.

    Args:
        detectors: unfitted.
        attacked: the plan's images under each attack; each gives a detector of its own.
        plan: the images to judge on; as many of the training split are used to fit.
        scenario: for the training split.
        classifier: who is protected.

    Returns:
        One line for every detector and attack.
    """
    clean, labels = arrays(scenario, "train", len(plan.images))
    rule: TargetRule = "random"  # targets chosen for the plan's images are no use for these
    found = []
    for each in attacked:
        to_fit = run_attack(
            each.attack, classifier, clean, labels, targets=rule, seed=plan.seed
        ).images
        for detector in detectors:
            fitted = detector.fit(classifier, clean, to_fit)
            auroc, tpr = separation(fitted.score(plan.images), fitted.score(each.images))
            found.append(
                results.DetectorResult(
                    **signature(detector),
                    attack=each.result.name,
                    auroc=auroc,
                    tpr_at_5_fpr=tpr,
                )
            )
    return found


def separation(clean: PerImage, adversarial: PerImage) -> tuple[float, float]:
    """Return the AUROC, and the share of adversarial images caught at 5 % false alarms.

    Args:
        clean: scores `(n,)` of clean images.
        adversarial: scores `(m,)` of adversarial ones; higher is more suspicious.

    Example:
        >>> separation(np.zeros(20), np.ones(20))
        (1.0, 1.0)
    """
    truth = np.concatenate([np.zeros(len(clean)), np.ones(len(adversarial))])
    scores = np.concatenate([clean, adversarial])
    false_alarms, caught, _ = roc_curve(truth, scores, drop_intermediate=False)
    return float(roc_auc_score(truth, scores)), float(caught[false_alarms <= 0.05].max())
