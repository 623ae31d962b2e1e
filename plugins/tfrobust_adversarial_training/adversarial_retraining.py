"""Adversarial retraining: continue the training of a finished network on attacked images.

Part of every batch is attacked, the rest is clean.

Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples" (2015), applied
afterwards: Akumalla, Haney & Bazhenov (2020) compare contextual fusion with it (FGSM, ε = 0.3).
Departures: they give no details; here each step attacks the current network, on half of each batch,
and the training keeps the epoch that is best on validation images. Half of those are attacked; the
seed draws which, the same in every epoch. The networks that they compare it with keep their
features and learn a last layer; `layers=last` retrains no more than that either.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.graph import trunk
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable, fine_tuned
from tfrobust.scenario import Scenario
from tfrobust.training.task import TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust_adversarial_training.inner_attack import (
    attacked_by,
    in_drawn_order,
    inner_attack,
    partly,
)


@plugin
class AdversarialRetraining(Defense):
    """Continues the training of a copy of the network, on clean and attacked images.

    Example:
        >>> further = create("defenses", "adversarial_retraining", attack="pgd", eps=0.1)
        >>> further.apply(load("d1"), scenario, Trainer(TrainingOptions(epochs=3)))
    """

    stage: ClassVar[Stage] = Stage.FINE_TUNING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    attack: str = option("inner attack: the name of an attack plugin", default="fgsm")
    eps: float = option("budget of the inner attack, in the unit of its norm", default=0.3, ge=0)
    options: dict[str, Any] | None = option(
        'further options of the inner attack: {"norm": "l2"}', default=None
    )
    share: float = option("share of each batch that is attacked", default=0.5, gt=0, le=1)
    layers: Literal["all", "last"] = option(
        "layers to train: all, or the last one, on features that stay as they are", default="all"
    )
    epochs: int | None = option(
        "epochs of the retraining; none: those of the training", default=None, ge=0
    )
    learning_rate: float | None = option(
        "learning rate of the retraining; none: that of the training", default=None, gt=0
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts on the new network; see `Defense`."""
        return long_ascent(
            "the attack is run again, on the new network: many steps from several starts",
            "Tramèr et al. 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what shows no Keras model to train, and an attack that does not fit.

        See `Defense`.

        Raises:
            UsageError: says which.
            ClassifierError: `layers=last` of a network that has no other layer.
        """
        network = check_tunable(classifier, "adversarial_retraining")
        if self.layers == "last":
            trunk(network.model)
        self._inner().check(classifier)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return a copy of the classifier, trained further; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        perturb = partly(attacked_by(self._inner()), self.share)
        tuned = fine_tuned(
            check_tunable(classifier, "adversarial_retraining"),
            scenario,
            trainer,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            task=TrainingTask(
                perturb=perturb, validate_on=in_drawn_order(perturb, trainer.options.seed)
            ),
            last_layer=self.layers == "last",
        )
        return Defended(tuned)

    def _inner(self) -> Attack:
        return inner_attack(self, "eps")
