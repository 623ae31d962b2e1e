"""Adversarial training: every step trains on images attacked right then.

min_θ E_{x,y} max_{‖d‖ ≤ ε} L(x + d, y; θ)

Madry, Makelov, Schmidt, Tsipras & Vladu, "Towards deep learning models resistant to adversarial
attacks" (2018). Departures: the inner attack is any attack plugin; it sees the network in
inference mode (its batch normalisation uses the running statistics); the best epoch is that of
the highest accuracy on attacked validation images (Rice, Wong & Kolter 2020).
"""

from __future__ import annotations

from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import Defense
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training import Trainer
from tfrobust_adversarial_training.inner_attack import inner_attack


@plugin
class PgdTraining(Defense):
    """Trains on adversarial images, by PGD unless told otherwise."""

    trains = True

    attack: str = option("the inner attack: any attack plugin", default="pgd")
    eps: float = option("its budget, in the unit of its norm", default=0.1, ge=0)
    steps: int = option("its steps, where it has such an option", default=10, ge=1)
    options: dict[str, Any] | None = option(
        'further ones of its options: {"norm": "l2"}', default=None
    )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Classifier:
        """Train `classifier` on attacked images; see `Defense`."""
        attack = self.inner_attack()

        def perturb(classifier: Classifier, images: Any, labels: Any, seeds: Any) -> Any:
            return attack(classifier, images, labels, seed=seeds)

        trainer.fit(classifier, scenario, perturb=perturb)
        return classifier

    def inner_attack(self) -> Attack:
        """Return the attack that each step runs.

        Raises:
            UsageError: there is no such attack, it is targeted, cannot be traced or wants boxes.
        """
        wanted = {"eps": self.eps, "steps": self.steps}
        return inner_attack("pgd_training", self.attack, wanted, self.options)
