"""Catastrophic overfitting: a network that only its own training's attack does not fool any more.

From one epoch to the next it learns to answer one long step with masked gradients: accuracy
under FGSM rises, and under PGD falls to nothing. Wong, Rice & Kolter (2020), section 5.4.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.random import numbered_seeds
from tfrobust.training import Check, History
from tfrobust.training_data import TrainingData
from tfrobust.training_steps import Perturb

STRONG, WEAK = "pgd_accuracy", "fgsm_accuracy"


def overfitting_check(strong: Perturb, weak: Perturb, *, count: int, drop: float) -> Check:
    """Return what ends a training in which accuracy collapses under the stronger attack alone.

    An epoch has collapsed where accuracy under `strong` is more than `drop` below that of the
    epoch before, and under `weak` is not. Both are put into the epoch's logs.

    Args:
        strong: the attack to withstand.
        weak: the training's own.
        count: images that both attack, held out where any are; always the same.
        drop: share of them.
    """

    @tf.function(autograph=False)
    def accuracies(classifier: Classifier, images: Any, labels: Any, seeds: Any) -> Any:
        attacked = [each(classifier, images, labels, seeds) for each in (strong, weak)]
        right = [tf.argmax(classifier(each), 1) == labels for each in attacked]
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=1)

    def check(
        classifier: Classifier, data: TrainingData, history: History, logs: dict[str, float]
    ) -> str | None:
        images, labels, index = data.few(count)
        seeds = numbered_seeds(data.seed_of(len(history)), index)
        found = accuracies(classifier, images, labels, seeds).numpy().tolist()
        logs[STRONG], logs[WEAK] = found
        if not history or not collapsed(history[-1], logs, drop):
            return None
        return (
            f"catastrophic overfitting in epoch {len(history) + 1}: under PGD accuracy fell from "
            f"{history[-1][STRONG]:.0%} to {logs[STRONG]:.0%}, and is {logs[WEAK]:.0%} under FGSM"
        )

    return check


def collapsed(before: dict[str, float], now: dict[str, float], drop: float) -> bool:
    """Tell whether an epoch has lost more than `drop` under PGD, and not under FGSM.

    Example:
        >>> collapsed({STRONG: 0.5, WEAK: 0.6}, {STRONG: 0.1, WEAK: 0.9}, 0.2)
        True
    """
    return before[STRONG] - now[STRONG] > drop >= before[WEAK] - now[WEAK]
