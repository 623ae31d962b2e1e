"""Free adversarial training: one backward pass updates the weights and the attack.

For each batch, m times: g_θ, g_d = ∇_{θ,d} L(x + d, y; θ);  θ ← θ − η g_θ;  d ← Π_ε(d + ε sign g_d)

Shafahi, Najibi, Ghiasi, Xu, Dickerson, Studer, Davis, Taylor & Goldstein, "Adversarial training for
free!" (2019), algorithm 1. Threat: white-box, Linf. The perturbation starts at zero, and each batch
starts from where the last one ended, in the next epoch too. So that a training costs what a plain
one does, N epochs are ⌈N / m⌉ passes over the images, each of m steps a batch; schedules of the
learning rate count all steps, and patience counts passes. The one pass of a step is in training
mode, so that the attack sees the averages of its batch, as in the authors' code. Departures: the
best pass is that of the highest accuracy on validation images under PGD; the authors take the last.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust_adversarial_training.inner_attack import attacked_by
from tfrobust_adversarial_training.replays import replayed


@plugin
class FreeTraining(Defense):
    """Trains on each batch several times, and updates a perturbation at each step.

    Example:
        >>> free = create("defenses", "free_training", eps=8 / 255, replays=8)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [free])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    eps: float = option("radius of the Linf ball, in pixel values", default=0.1, ge=0, le=1)
    replays: int = option(
        "m: steps per batch; divides the number of epochs (the paper: 8 for CIFAR-10, 4 for "
        "ImageNet)",
        default=4,
        ge=1,
    )
    pgd_steps: int = option("PGD steps on validation images", default=10, ge=1)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts: its gradients are right; see `Defense`."""
        return long_ascent(
            "its gradients are right: many steps from several starts",
            "Croce & Hein 2020",
        )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` while its images are attacked; see `Defense`."""
        pgd: Attack = create("attacks", "pgd", eps=self.eps, steps=self.pgd_steps, early_stop=False)
        passes = math.ceil(trainer.options.epochs / self.replays)
        trainer.altered(epochs=passes).fit(
            classifier,
            scenario,
            replayed(self.replays, self.step, validate_on=attacked_by(pgd)),
        )
        return Defended(classifier)

    def step(self, perturbation: Any, gradient: Any) -> Any:
        """Return the perturbation one step of length ε further up, inside the ball.

        Args:
            perturbation: `(batch, height, width, channels)`.
            gradient: of the loss by it.
        """
        moved = perturbation + self.eps * tf.sign(gradient)
        return tf.clip_by_value(moved, -self.eps, self.eps)
