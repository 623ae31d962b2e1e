"""The basic iterative method: PGD that starts at the image.

x_{t+1} = clip(x + Π_ε(x_t + α · argmax_{‖d‖ ≤ 1} ⟨∇ L(x_t, y), d⟩ − x), 0, 1),  x_0 = x

Kurakin, Goodfellow & Bengio, "Adversarial examples in the physical world" (2017).
Threat: white-box; Linf, L2 or L1.
Departures: those of `pgd`, whose loop this is.
"""

from __future__ import annotations

from typing import Any, Literal

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.losses import LossName
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.types import Images, Labels


@plugin
class BasicIterative(Attack):
    """Iterated steepest ascent inside the ball, from the image itself."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2", "l1"] = option("of the ball", default="linf")
    steps: int = option("gradients an image", default=10, ge=1)
    step_size: float | None = option(
        "α: length of a step, in the unit of the norm; none: as in `pgd`", default=None, gt=0
    )
    loss: LossName = option("to raise: ce, margin (C&W) or dlr", default="ce")
    targeted: bool = option("reach a class instead of leaving one", default=False)
    samples: int = option("gradients averaged, if the classifier is stochastic", default=20, ge=1)
    early_stop: bool = option("leave an image alone once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        descent = create(
            "attacks",
            "pgd",
            eps=self.eps,
            norm=self.norm,
            steps=self.steps,
            step_size=self.step_size,
            random_start=False,
            loss=self.loss,
            targeted=self.targeted,
            early_stop=self.early_stop,
        )
        return descent(classifier, images, labels, seed=seed)
