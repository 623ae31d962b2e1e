"""Adversarial training: every step trains on images attacked in that step.

min_θ E_{x,y} max_{‖d‖ ≤ ε} L(x + d, y; θ)

Madry, Makelov, Schmidt, Tsipras & Vladu, "Towards deep learning models resistant to adversarial
attacks" (2018). Departures: the inner attack is any attack plugin; it sees the network in
inference mode (its batch normalisation uses the running statistics); the best epoch is that of
the highest accuracy on attacked validation images (Rice, Wong & Kolter 2020). With `ramp` the
attack keeps its budget, and what it changes is scaled: x + s · d, s from 0 to 1 along the training.
"""

from __future__ import annotations

from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.options import plugin
from tfrobust.scenario import Scenario
from tfrobust.training.task import TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust_adversarial_training.inner_attack import TrainsOnAttacked, attacked_by


@plugin
class PgdTraining(TrainsOnAttacked):
    """Trains on adversarial images, by default PGD's.

    Example:
        >>> madry = create("defenses", "pgd_training", eps=8 / 255, steps=10)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [madry])
    """

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on attacked images; see `Defense`.

        Raises:
            UsageError: the inner attack is none that a step can run.
        """
        task = TrainingTask(perturb=attacked_by(self.inner_attack()), ramp=self.ramp)
        trainer.fit(classifier, scenario, task)
        return Defended(classifier)
