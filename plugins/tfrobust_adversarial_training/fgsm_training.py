"""FGSM training with a random start: adversarial training at the cost of two passes per batch.

d₀ uniform in ‖d‖ ≤ ε;  d = Π_ε(d₀ + α · argmax_{‖u‖ ≤ 1} ⟨∇ L(x + d₀, y), u⟩), α = 1.25 ε

Wong, Rice & Kolter, "Fast is better than free: revisiting adversarial training" (2020). Threat:
white-box; Linf or L2. After each epoch PGD attacks a few held-out images: where it breaks them by
far more than in the best epoch so far and FGSM does not, the training has overfitted
catastrophically and ends, and the epoch does not count (`overfitting`). Departures: L2 as well as
Linf; the attack sees the network in inference mode, the step that trains on its images in training
mode (the authors' code has both in training mode); the check looks at held-out images, where there
are any, and not at the epoch's first batch, compares with the best epoch and not with the one
before, and asks that FGSM's accuracy has not fallen as well; PGD takes ten steps there, not five.
Of the epochs before a collapse the one is kept with the highest accuracy on validation images under
PGD; without validation images it is the last one, as in that code. Its cyclic learning rate and
half precision are options of the training, not of the defence.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.task import Perturb, TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Seeds
from tfrobust_adversarial_training.inner_attack import attacked_by
from tfrobust_adversarial_training.overfitting import collapsed_in, overfitting_check


@plugin
class FgsmTraining(Defense):
    """Trains on images attacked by one gradient step from a random start.

    Example:
        >>> fast = create("defenses", "fgsm_training", eps=8 / 255)
        >>> fast.apply(classifier, scenario, Trainer()).found["collapsed_in_epoch"] is None
        True
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    step: float = option("α: step size, as a multiple of eps", default=1.25, gt=0, le=2)
    pgd_steps: int = option("PGD steps on validation images", default=10, ge=1)
    checked: int = option(
        "held-out images on which PGD checks for a collapse; 0: none",
        default=200,
        ge=0,
    )
    drop: float = option(
        "fall from the best accuracy under PGD that means a collapse",
        default=0.2,
        gt=0,
        lt=1,
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Many steps, which one step may have been fitted against; see `Defense`."""
        return long_ascent(
            "many steps break what was fitted to one",
            "Andriushchenko & Flammarion 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a budget larger than any perturbation; see `Defense`.

        Raises:
            UsageError: says so.
        """
        self._pgd().check(classifier)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on attacked images, until PGD breaks what FGSM does not.

        `found` holds for the card `collapsed_in_epoch`: the epoch, from 1, or none for never.
        """
        strong, weak = attacked_by(self._pgd()), self.one_step()
        check = overfitting_check(strong, weak, count=self.checked, drop=self.drop)
        task = TrainingTask(perturb=weak, validate_on=strong, check=check if self.checked else None)
        history = trainer.fit(classifier, scenario, task)
        measured = {"collapsed_in_epoch": collapsed_in(history)} if self.checked else {}
        return Defended(classifier, measured)

    def one_step(self) -> Perturb:
        """Return the training's own attack: a random start, and one step of FGSM from there."""
        geometry = ball(self.norm)
        step: Attack = create("attacks", "fgsm", eps=self.step * self.eps, norm=self.norm)

        def perturb(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
            region = geometry.region(images, self.eps)
            noise = geometry.draw(seeds, tf.shape(images)[1:], self.eps)
            start = geometry.project(images + noise, region)
            return geometry.project(step(classifier, start, labels, seed=seeds), region)

        return perturb

    def _pgd(self) -> Attack:
        given = {"eps": self.eps, "norm": self.norm, "steps": self.pgd_steps, "early_stop": False}
        pgd: Attack = create("attacks", "pgd", **given)
        return pgd
