"""MART: adversarial training with more weight on images that are misclassified when clean.

min_θ E_{x,y} BCE(p(x′), y) + λ · KL(p(x) ‖ p(x′)) · (1 − p_y(x))

BCE(p, y) = −log p_y − log(1 − max_{k≠y} p_k): the label up, and its nearest rival down.

Wang, Zou, Yi, Bailey, Ma & Gu, "Improving adversarial robustness requires revisiting misclassified
examples" (2020). Threat: white-box, in the norm of the inner attack. That is PGD on cross-entropy
and sees the network in inference mode; the step then makes two passes in training mode, of the
clean images and of the attacked ones, each normalised by the averages of its own batch, and
gradients flow through both, as in the authors' code. Departures: the inner attack is any attack
plugin, and PGD starts anywhere in the ball, not beside the image; logarithms are computed from
logits, where that code adds small numbers to probabilities. The best epoch is that of the highest
accuracy on attacked validation images.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust.classifier import Trainable
from tfrobust.engine.losses import without_label
from tfrobust.options import option, plugin
from tfrobust.training.task import cross_entropy
from tfrobust.types import Images, Labels, Logits, PerImage
from tfrobust_adversarial_training.divergence import divergence
from tfrobust_adversarial_training.inner_attack import TrainsOnBoth


@plugin
class Mart(TrainsOnBoth):
    """Trains on attacked images, with more weight on those that are hard when clean.

    Example:
        >>> mart = create("defenses", "mart", eps=8 / 255, weight=5.0)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [mart])
    """

    weight: float = option("λ: weight of the divergence", default=5.0, ge=0)

    def objective(
        self, classifier: Trainable, images: Images, attacked: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        """Return BCE(p(x′), y) + λ · KL(p(x) ‖ p(x′)) · (1 − p_y(x)), and the logits of x′.

        See `TrainsOnBoth`.
        """
        logits = classifier.logits_in_training(images)
        attacked_logits = classifier.logits_in_training(attacked)
        doubt = 1.0 - tf.gather(tf.nn.softmax(logits), labels, batch_dims=1)
        change = divergence(logits, attacked_logits)
        boosted = boosted_cross_entropy(labels, attacked_logits)
        return boosted + self.weight * change * doubt, attacked_logits


def boosted_cross_entropy(labels: Labels, logits: Logits) -> Any:
    """Return −log p_y − log(1 − max_{k≠y} p_k) of each image, `(batch,)`.

    Example:
        >>> boosted_cross_entropy(tf.constant([0]), tf.constant([[0.0, 0.0]])).numpy()
        array([1.3862944], dtype=float32)
    """
    rival = tf.argmax(without_label(logits, labels), axis=1)
    # From the logits: 1 − p rounds to zero for a confident network, and its logarithm to −∞.
    all_but_rival = tf.reduce_logsumexp(without_label(logits, rival), axis=1)
    others = all_but_rival - tf.reduce_logsumexp(logits, axis=1)
    return cross_entropy(labels, logits) - others
