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
from tfrobust.errors import UsageError
from tfrobust.options import describe, option, plugin
from tfrobust.registry import create, find
from tfrobust.scenario import Scenario
from tfrobust.training import Trainer


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
            UsageError: there is no such attack, it is targeted, or it cannot be traced.
        """
        known = {each.name for each in describe(find("attacks", self.attack).load())}
        wanted = {
            "eps": self.eps,
            "steps": self.steps,
            "nb_iter": self.steps,  # CleverHans's word for them
            "early_stop": False,
        }
        chosen = {key: value for key, value in wanted.items() if key in known}
        attack = create("attacks", self.attack, **(chosen | (self.options or {})))
        if attack.threat.targeted or attack.eager:
            raise UsageError(
                "pgd_training: attack: expected an untargeted attack that runs in tf.function; "
                f"received: {self.attack!r}"
            )
        return attack
