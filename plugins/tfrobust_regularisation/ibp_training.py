"""Interval bound propagation: training on the worst answer that a box around the image allows.

min_θ κ CE(f(x), y) + (1 − κ) CE(ẑ(ε), y),  ẑ_k(ε) ≥ max z_k − z_y over ‖x′ − x‖∞ ≤ ε

Gowal, Dvijotham, Stanforth, Bunel, Qin, Uesato, Arandjelović, Mann & Kohli, "On the effectiveness
of interval bound propagation for training verifiably robust models" (2018). Threat: white-box,
L∞. It is not broken: where ẑ(ε) leaves no class above the label, no attack within ε changes the
answer, up to rounding (`tfrobust.bounds.IntervalBounds`). ε grows from 0, and κ falls from 1, over
the first part of the training. Departures: these parts are shares of the training and not numbers
of steps; the bounds use the running statistics of batch normalisation. The best epoch is that of
the highest accuracy on validation images that PGD attacks with the whole ε.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.attack import Attack
from tfrobust.bounds import Around, IntervalBounds
from tfrobust.classifier import Classifier
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask, cross_entropy
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Logits, PerImage, Seeds


@plugin
class IbpTraining(Defense):
    """Trains on cross-entropy, and on that of the worst answers that interval bounds allow.

    Example:
        >>> verifiable = create("defenses", "ibp_training", eps=0.1)
        >>> train(create("models", "lenet"), scenario, Trainer(), [verifiable])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    eps: float = option("ε: L∞ radius of the box, in pixel values", default=0.1, ge=0, le=1)
    natural: float = option(
        "κ at the end: weight of cross-entropy on clean images", default=0.5, ge=0, le=1
    )
    warmup: float = option(
        "share of the training before ε grows and κ falls", default=0.1, ge=0, lt=1
    )
    ramp: float = option("share of the training in which they do", default=0.5, gt=0, le=1)
    pgd_steps: int = option("PGD steps on validation images", default=10, ge=1)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts: its gradients are right; see `Defense`."""
        why = "its gradients are right: many steps from several starts"
        options = {"steps": 200, "restarts": 3}
        return (AdaptiveAttack("pgd", options, why, "Gowal et al. 2018", ("l2",)),)

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a network with layers whose bounds are not known; see `Defense`.

        Raises:
            UsageError: names the layer.
        """
        self._bounds(classifier)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on its bounds; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        bounds = self._bounds(classifier)
        steps = functools.partial(RampedSteps, defense=self, bounds=bounds)
        trainer.fit(classifier, scenario, TrainingTask(steps=steps, validate_on=self._attacked))
        return Defended(classifier)

    def progress(self, done: Any) -> Any:
        """Return how far ε has grown, from 0 to 1, once a share of the training is done."""
        return tf.clip_by_value((done - self.warmup) / self.ramp, 0.0, 1.0)

    def losses(
        self, classifier: Any, bounds: IntervalBounds, images: Images, labels: Labels, progress: Any
    ) -> tuple[PerImage, Logits]:
        """Return the losses to lower, `(batch,)`, and the logits of the clean images."""
        logits = classifier.logits_in_training(images)
        natural = 1.0 - progress * (1.0 - self.natural)
        worst = cross_entropy(labels, bounds.worst(Around(images, progress * self.eps), labels))
        return natural * cross_entropy(labels, logits) + (1.0 - natural) * worst, logits

    def _bounds(self, classifier: Classifier) -> IntervalBounds:
        model = check_tunable(classifier, "ibp_training").model
        return IntervalBounds(model, asking="ibp_training")

    def _attacked(
        self, classifier: Classifier, images: Images, labels: Labels, seeds: Seeds
    ) -> Images:
        attack: Attack = create(
            "attacks", "pgd", eps=self.eps, steps=self.pgd_steps, early_stop=False
        )
        return attack(classifier, images, labels, seed=seeds)


class RampedSteps(Steps):
    """Steps whose ε grows with the training.

    Args:
        *given: as for `Steps`.
        defense: with its options.
        bounds: of the network.
    """

    def __init__(self, *given: Any, defense: IbpTraining, bounds: IntervalBounds) -> None:
        super().__init__(*given)

        def objective(
            classifier: Any, images: Images, _: Images, labels: Labels
        ) -> tuple[PerImage, Logits]:
            grown = defense.progress(self.progress())
            return defense.losses(classifier, bounds, images, labels, grown)

        self._objective = objective
