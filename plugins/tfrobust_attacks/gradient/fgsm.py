"""The fast gradient sign method: one step to the corner the gradient points at.

x′ = clip(x + ε · argmax_{‖d‖ ≤ 1} ⟨∇ L(x, y), d⟩, 0, 1)

Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples" (2015).
Threat: white-box; Linf, L2 or L1.
Departures: further norms, losses and targets, not only Linf, cross-entropy and labels. The log odds
replace cross-entropy; their gradient points the same way but does not vanish
(`tfrobust.engine.losses.log_odds`). In L1 the step fills the steepest pixels up to their walls.
"""

from __future__ import annotations

from typing import Any, Literal

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import loss_gradient
from tfrobust.engine.losses import LossName
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels


@plugin
class FastGradientSign(GradientAttack):
    """One gradient step of the size of the budget."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm of the ball", default="linf")
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="ce")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        gradient, _ = loss_gradient(
            classifier, images, labels, targeted=self.targeted, loss=self.loss
        )
        geometry = ball(self.norm)
        region = geometry.region(images, self.eps)
        return geometry.step(images, gradient, self.eps, region)
