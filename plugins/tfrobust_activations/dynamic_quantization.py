"""Dynamic quantized activation: activation functions of few levels, whose thresholds are trained.

y = mean_i sign(x − T_i), of 2^b − 1 thresholds T_i; with `dynamic=false` they stay evenly spaced

Rakin, Yi, Gong & Fan, "Defend deep neural networks against adversarial examples via fixed and
dynamic quantized activation functions" (2018). Threat: white-box, L∞. Small changes that cross no
threshold do nothing, and the gradient is zero: what the paper's attacks follow is a gradient that
is passed straight through, and its figures are upper bounds. An attacker who estimates the gradient
from differences of the answers, as Tramèr et al. (2020) do for k winners take all, sees the
crossings, and breaks more (`estimated`). As in the paper the network is trained on adversarial
images; `eps=0` trains on clean ones. Departures: the hidden activation functions of any Keras 3
network are replaced, one vector of thresholds a layer; the inner attack is PGD; the gradient that
is passed through is that of mean_i clip(x − T_i, −1, 1), by x and by T. The best epoch is that of
the highest accuracy on attacked validation images.
"""

from __future__ import annotations

from typing import Any

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Seeds
from tfrobust_activations.estimated import estimating_attacks
from tfrobust_activations.quantized import TrainedThresholds
from tfrobust_activations.replacing import ReplacesActivations


@plugin
class DynamicQuantization(ReplacesActivations):
    """Trains a network whose activations have few levels, on adversarial images.

    Example:
        >>> quantized = create("defenses", "dynamic_quantization", bits=2, eps=0.1)
        >>> train(create("models", "lenet"), scenario, Trainer(), [quantized])
    """

    bits: int = option("b: 2^b levels of each activation", default=1, ge=1, le=4)
    dynamic: bool = option("train the thresholds between the levels", default=True)
    eps: float = option(
        "L∞ budget of the inner attack, in pixel values; 0: none", default=0.1, ge=0, le=1
    )
    steps: int = option("steps of the inner attack", default=7, ge=1)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on gradients estimated from differences, and random search; see `Defense`."""
        return estimating_attacks("which see thresholds being crossed")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a copy of the classifier with other activation functions; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        quantized = self.replaced(
            classifier,
            scenario,
            trainer,
            lambda name: TrainedThresholds(self.bits, self.dynamic, name=name),
        )
        trainer.fit(quantized, scenario, perturb=self._attacked if self.eps else None)
        return Defended(quantized)

    def _attacked(
        self, classifier: Classifier, images: Images, labels: Labels, seeds: Seeds
    ) -> Any:
        attack: Attack = create("attacks", "pgd", eps=self.eps, steps=self.steps, early_stop=False)
        return attack(classifier, images, labels, seed=seeds)
