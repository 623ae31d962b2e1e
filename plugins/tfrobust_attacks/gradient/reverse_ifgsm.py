"""Iterated FGSM run backwards: the loss goes down, and the classifier gets its image right.

x_{t+1} = clip(x + Π_ε(x_t − α · sign(∇ L(x_t, y)) − x), 0, 1),  x_0 = x

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), after Kurakin,
Goodfellow & Bengio, "Adversarial machine learning at scale" (2017).
Threat: white-box, and it needs the true class: it shows what could be gained, not what an image of
unknown class gains. Departures: the paper gives neither ε nor α; those of `bim`. By default the
attack stops on an image once it is classified correctly.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.options import derived, option, plugin, with_values
from tfrobust.types import Images, Labels
from tfrobust_attacks.gradient.bim import BasicIterative


@plugin
class ReverseIfgsm(GradientAttack):
    """Moves images towards their true class, within a ball."""

    corrective: ClassVar[bool] = True

    eps: float = option(
        "radius of the Linf ball, in pixel values", default=0.1, ge=0, trace="input"
    )
    steps: int = option("gradients per image", default=40, ge=1, trace="input")
    step_size: float | None = option(
        "α: step in pixel values; none: max(2.5 / steps, 0.1) · eps",
        default=None,
        gt=0,
        trace="input",
    )
    early_stop: bool = option("stop on an image once it is classified correctly", default=True)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", "linf")

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return images that are read right where that could be done; see `Attack`."""
        towards = with_values(
            BasicIterative(targeted=True, early_stop=self.early_stop),
            {"eps": self.eps, "steps": self.steps, "step_length": self.step_length},
        )
        return towards(classifier, images, labels, seed=seed)

    @derived
    def step_length(self) -> float:
        """Return the length of a step, as `bim` has it."""
        return BasicIterative(eps=self.eps, steps=self.steps, step_size=self.step_size).step_length
