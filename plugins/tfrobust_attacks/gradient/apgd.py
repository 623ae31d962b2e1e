"""Auto-PGD: projected ascent with momentum, which sets its own step size.

x_{t+1} = Π(x_t + ¾ (Π(x_t + η g_t) − x_t) + ¼ (x_t − x_{t−1})). At checkpoints an image whose loss
rose in too few steps, or whose best point did not improve, goes back to its best point with half
the step.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
parameter-free attacks" (2020). Threat: white-box; Linf, L2 or L1.
Departures: the log odds replace cross-entropy; they rank points alike, and their gradient does not
vanish. In L1 a step goes towards the corner of the region that the gradient points at (Frank &
Wolfe), without momentum, instead of the sparse steps of Croce & Hein (2021): see `tfrobust.norms`.
Their phases at three and two times the radius come first in L1 always: see `apgd_schedule`.
Starts are drawn uniformly from the ball. With two or three classes the targeted loss has a smaller
unit. An image that is never adversarial returns its point of highest loss.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.losses import (
    LossName,
    loss_and_slope,
    targeted_difference_of_logits_ratio,
    value_and_slope,
)
from tfrobust.options import option, plugin
from tfrobust.types import Images, Labels, Logits, PerImage
from tfrobust_attacks.gradient.apgd_state import ApgdState
from tfrobust_attacks.gradient.auto_pgd import AutoPgd
from tfrobust_attacks.shared.rivals import likely_rivals


@plugin
class _OneLoss(AutoPgd):
    """Auto-PGD against, or towards, the labels themselves."""

    name: ClassVar[LossName]

    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        return self.run(classifier, images, labels, labels[:, None], seed)

    def loss(self, logits: Logits, state: ApgdState, run: Any) -> tuple[PerImage, Logits]:
        """Return the loss of this name against the labels."""
        return loss_and_slope(logits, state.labels, targeted=self.targeted, loss=self.name)


@plugin
class ApgdCrossEntropy(_OneLoss):
    """Auto-PGD on cross-entropy."""

    name = "ce"


@plugin
class ApgdDlr(_OneLoss):
    """Auto-PGD on the difference of logits ratio, which ignores the scale of the logits."""

    name = "dlr"


@plugin
class ApgdTargeted(AutoPgd):
    """Auto-PGD towards each of the most likely other classes, until one is reached."""

    target_classes: int = option("number of classes to try", default=9, ge=1)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        rivals = likely_rivals(classifier(images), labels, self.target_classes)
        return self.run(classifier, images, labels, rivals, seed)

    def loss(self, logits: Logits, state: ApgdState, run: Any) -> tuple[PerImage, Logits]:
        """Return the lead of this run's target over the label."""
        target = tf.gather(state.rivals, run % state.rivals.shape[1], axis=1)
        return value_and_slope(
            lambda logits: targeted_difference_of_logits_ratio(logits, state.labels, target), logits
        )
