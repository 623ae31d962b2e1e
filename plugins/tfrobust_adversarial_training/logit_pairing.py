"""Logit pairing: images that belong together get the same logits.

adversarial: ½ CE(f(x), y) + ½ CE(f(x′), y) + λ ‖f(x) − f(x′)‖² / classes, x′ the attacked x
clean: CE(f(x̃), y) + λ ‖f(x̃) − f(x̃₂)‖² / classes, x̃ = x + N(0, σ²), x₂ another image of the batch

Kannan, Kurakin & Goodfellow, "Adversarial logit pairing" (2018). Threat: white-box, in the norm of
the inner attack. It bends the loss so that a few steps find little, and is not what it seemed:
Engstrom, Ilyas & Athalye, "Evaluating and understanding the robustness of adversarial logit
pairing" (2018) take up to 1,000 steps and leave 0.6 % of ImageNet where 27.9 % had been claimed
(ε = 16/255, targeted); pairs of clean images hide the gradient even more (Mosbach et al. 2018).
The inner attack sees the network in inference mode; the step then makes a pass in training mode of
the clean images and one of the attacked ones. Departures: the inner attack is any attack plugin;
the squared distance is divided by the number of classes, as a mean squared error is. The best epoch
is that of the highest accuracy on attacked, or noisy, validation images.
"""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier, Trainable
from tfrobust.defense import Defended
from tfrobust.options import option, plugin
from tfrobust.random import normal
from tfrobust.scenario import Scenario
from tfrobust.training.task import TrainingTask, cross_entropy
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Logits, PerImage, Seeds
from tfrobust_adversarial_training.inner_attack import TrainsOnBoth


@plugin
class LogitPairing(TrainsOnBoth):
    """Trains on attacked or noisy images, and draws the logits of pairs together.

    Example:
        >>> paired = create("defenses", "logit_pairing", eps=0.3, weight=1.0)
        >>> train(create("models", "lenet"), scenario, Trainer(), [paired])
    """

    pairs: Literal["adversarial", "clean"] = option(
        "an image and itself attacked, or two images with noise and no attack",
        default="adversarial",
    )
    weight: float = option("λ: weight of the distance between logits", default=0.5, ge=0)
    sigma: float = option(
        "σ: standard deviation of the noise of clean pairs, in pixel values", default=0.5, ge=0
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Many more steps, from several starts, in the norm of the inner attack; see `Defense`."""
        options = {"steps": 1000, "restarts": 2}
        why = "a thousand steps cross the bent loss, and ten do not"
        return (AdaptiveAttack("pgd", options, why, "Engstrom et al. 2018", ("l2",)),)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on pairs; see `Defense`.

        Raises:
            UsageError: the inner attack is none that a step can run.
        """
        if self.pairs == "adversarial":
            return super().apply(classifier, scenario, trainer)
        task = TrainingTask(perturb=self.noisy, objective=self.clean_objective)
        trainer.fit(classifier, scenario, task)
        return Defended(classifier)

    def objective(
        self, classifier: Trainable, images: Images, attacked: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        """Return the losses of images and themselves attacked, and the logits of the attacked.

        See `TrainsOnBoth`.
        """
        logits = classifier.logits_in_training(images)
        attacked_logits = classifier.logits_in_training(attacked)
        both = cross_entropy(labels, logits) + cross_entropy(labels, attacked_logits)
        return 0.5 * both + self.weight * distance(logits, attacked_logits), attacked_logits

    def clean_objective(
        self, classifier: Trainable, images: Images, noisy: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        """Return the losses of noisy images, each paired with the one half a batch away."""
        logits = classifier.logits_in_training(noisy)
        others = tf.roll(logits, tf.shape(logits)[0] // 2, axis=0)
        return cross_entropy(labels, logits) + self.weight * distance(logits, others), logits

    def noisy(self, classifier: Any, images: Images, labels: Labels, seeds: Seeds) -> Images:
        """Return the images with Gaussian noise; pixels may leave [0, 1]."""
        return images + self.sigma * normal(seeds, images.shape[1:])


def distance(logits: Logits, others: Logits) -> PerImage:
    """Return ‖z − z′‖² / classes of each image, `(batch,)`.

    Example:
        >>> distance(tf.constant([[1.0, 2.0]]), tf.constant([[1.0, 4.0]])).numpy()
        array([2.], dtype=float32)
    """
    return tf.reduce_mean(tf.math.squared_difference(logits, others), axis=1)
