"""Catastrophic overfitting: a network that withstands only the attack of its own training.

Within an epoch or a few it learns to answer one long step with masked gradients: accuracy under
FGSM rises, and under PGD falls to nothing. Wong, Rice & Kolter (2020), section 5.4.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.random import numbered_seeds
from tfrobust.training.data import TrainingData
from tfrobust.training.task import Check, History, Perturb
from tfrobust.types import Images, Labels, Seeds

STRONG, WEAK, COLLAPSED = "pgd_accuracy", "fgsm_accuracy", "collapsed"


def overfitting_check(strong: Perturb, weak: Perturb, *, count: int, drop: float) -> Check:
    """Return what ends a training in which accuracy collapses under the stronger attack alone.

    An epoch has collapsed where accuracy under `strong` is more than `drop` below that of the best
    epoch so far, and under `weak` is not; in however many steps it fell. Both are put into the
    epoch's logs, and `collapsed`: 1 or 0.

    Args:
        strong: the attack to withstand.
        weak: the training's own.
        count: images that both attack, held out where any are; always the same.
        drop: share of them.

    Returns:
        What a `TrainingTask` takes as its `check`.
    """

    @tf.function(autograph=False)
    def accuracies(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        attacked = [perturb(classifier, images, labels, seeds) for perturb in (strong, weak)]
        right = [tf.argmax(classifier(perturbed), 1) == labels for perturbed in attacked]
        return tf.reduce_mean(tf.cast(right, tf.float32), axis=1)

    def check(
        classifier: Classifier, data: TrainingData, history: History, logs: dict[str, float]
    ) -> str | None:
        images, labels, index = data.few(count)
        seeds = numbered_seeds(data.seed_of(len(history)), index)
        measured = accuracies(classifier, images, labels, seeds).numpy().tolist()
        logs[STRONG], logs[WEAK] = measured
        best = max(history, key=lambda epoch: epoch[STRONG], default=logs)
        fell = collapsed(best, logs, drop)
        logs[COLLAPSED] = float(fell)
        if not fell:
            return None
        return (
            f"catastrophic overfitting in epoch {len(history) + 1}: under PGD accuracy fell from "
            f"{best[STRONG]:.0%} in epoch {history.index(best) + 1} to {logs[STRONG]:.0%}, and is "
            f"{logs[WEAK]:.0%} under FGSM"
        )

    return check


def collapsed_in(history: History) -> int | None:
    """Return the number of the epoch that collapsed, from 1; `None` if none did.

    Example:
        >>> collapsed_in([{COLLAPSED: 0.0}, {COLLAPSED: 1.0}])
        2
    """
    return next((number for number, epoch in enumerate(history, 1) if epoch[COLLAPSED]), None)


def collapsed(before: dict[str, float], now: dict[str, float], drop: float) -> bool:
    """Tell whether since an earlier epoch more than `drop` was lost under PGD, and not under FGSM.

    Example:
        >>> collapsed({STRONG: 0.5, WEAK: 0.6}, {STRONG: 0.1, WEAK: 0.9}, 0.2)
        True
    """
    return before[STRONG] - now[STRONG] > drop >= before[WEAK] - now[WEAK]
