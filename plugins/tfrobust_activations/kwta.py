"""k winners take all: only the largest numbers of each layer go on.

y_i = x_i where x_i is among the k largest numbers of its layer, else 0; k = γ n

Xiao, Zhong & Zheng, "Enhancing adversarial defense by k-winners-take-all" (2020). Threat: attacks
that follow the gradient. The winners change with the smallest change of an image, so that the
network jumps almost everywhere, and its gradient says nothing of its neighbourhood. It is masked,
and not robust: Tramèr, Carlini, Brendel & Madry, "On adaptive attacks to adversarial example
defenses" (2020) estimate the gradient from differences of the answers nearby and leave 0.16 % of
CIFAR-10 at ε = 8/255 of a network that was adversarially trained as well; see `estimated`.
Departures: the hidden activation functions of any Keras 3 network are replaced (gates and softmax
are not). Where γ falls while training, every γ is a training of its own, with a new optimizer, and
keeps its best epoch. Adversarial training comes after it in a chain, and begins with its weights.
"""

from __future__ import annotations

import math

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust_activations.estimated import estimating_attacks
from tfrobust_activations.replaced import layers_of
from tfrobust_activations.replacing import ReplacesActivations
from tfrobust_activations.winners import WinnersTakeAll


@plugin
class Kwta(ReplacesActivations):
    """Trains a network whose activation functions let only the largest numbers through.

    Example:
        >>> sparse = create("defenses", "kwta", share=0.08, start=0.2)
        >>> train(create("models", "resnet18"), scenario, Trainer(), [sparse])
    """

    share: float = option("γ: share of a layer's numbers that win", default=0.1, gt=0, le=1)
    start: float | None = option(
        "γ of the first training, from which it falls; none: share", default=None, gt=0, le=1
    )
    fall: float = option("by how much γ falls at a time", default=0.005, gt=0, lt=1)
    fall_epochs: int = option("epochs of training after each fall", default=2, ge=1)

    def __post_init__(self) -> None:
        if self.start is not None and self.start < self.share:
            raise ValueError(f"start: expected γ to fall to share, {self.share:g}, from above")

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on gradients estimated from differences, and random search; see `Defense`."""
        return estimating_attacks("which see the jumps")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a copy of the classifier with other activation functions; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        shares = self.shares()
        sparse = self.replaced(
            classifier, scenario, trainer, lambda name: WinnersTakeAll(shares[0], name=name)
        )
        trainer.fit(sparse, scenario)
        for share in shares[1:]:
            for layer in layers_of(sparse.model, WinnersTakeAll):
                layer.share = share
            trainer.altered(epochs=self.fall_epochs).fit(sparse, scenario)
        return Defended(sparse)

    def shares(self) -> list[float]:
        """Return γ of each training, the last of which is `share`.

        Example:
            >>> Kwta(share=0.1, start=0.112, fall=0.005).shares()
            [0.112, 0.107, 0.102, 0.1]
        """
        first = self.share if self.start is None else self.start
        falls = math.ceil((first - self.share) / self.fall - 1e-9)
        return [*(first - number * self.fall for number in range(falls)), self.share]
