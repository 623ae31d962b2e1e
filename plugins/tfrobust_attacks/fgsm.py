"""The fast gradient sign method: one step to the corner the gradient points at.

x′ = clip(x + ε · argmax_{‖d‖ ≤ 1} ⟨∇ L(x, y), d⟩, 0, 1)

Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples" (2015).
Threat: white-box, Linf or L2.
Departures: L2 and targets besides Linf and labels; the loss is the log odds, whose gradient
points the same way as cross-entropy's but does not vanish (`tfrobust.losses.log_odds`).
"""

from __future__ import annotations

from typing import Any, Literal

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.losses import ascend
from tfrobust.norms import ball
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels


@plugin
class FastGradientSign(Attack):
    """One gradient step as long as the budget."""

    eps: float = option("radius of the ball, in the unit of the norm", default=0.1, ge=0)
    norm: Literal["linf", "l2"] = option("of the ball", default="linf")
    targeted: bool = option("reach a class instead of leaving one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        gradient, _ = ascend(classifier, images, labels, targeted=self.targeted)
        step = ball(self.norm).steepest(gradient)
        return tf.clip_by_value(images + self.eps * step, 0.0, 1.0)
