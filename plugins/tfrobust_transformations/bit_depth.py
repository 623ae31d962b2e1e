"""Bit depth: pixels are rounded to a few values, so that small perturbations disappear.

x → round(x (2^b − 1)) / (2^b − 1)

Xu, Evans & Qi, "Feature squeezing: detecting adversarial examples in deep neural networks" (2018),
section III-B; Guo, Rana, Cissé & van der Maaten, "Countering adversarial images using input
transformations" (2018). Threat: an attacker who does not know of it; its gradient is zero
everywhere, so a white-box attack on it alone finds nothing.
Broken by: He, Wei, Chen, Carlini & Song, "Adversarial example defenses: ensembles of weak defenses
are not strong" (2017), who optimise through it; Athalye, Carlini & Wagner (2018), by BPDA with the
identity. That is the surrogate here, and every white-box attack follows it.
Departures: none.
"""

from __future__ import annotations

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images
from tfrobust_transformations.transformed import (
    ChangesImages,
    Transformed,
    straight_through,
)


@plugin
class BitDepth(ChangesImages):
    """Rounds pixels to 2^bits values."""

    bits: int = option("bits a channel; 8 is that of image files", default=4, ge=1, le=16)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the rounding; see `Defense`."""
        return descent(
            "rounding has no gradient: BPDA by the identity",
            "Athalye, Carlini & Wagner 2018",
        )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the classifier behind the rounding; nothing is trained. See `Defense`."""
        return Defended(Transformed(classifier, self.rounded, differentiable=False))

    def surrogate(self, defended: Classifier) -> Classifier | None:
        """Return it with the gradient of the identity; see `Defense`."""
        through = straight_through(self.rounded)
        return Transformed(defended.inner, through, differentiable=True) if defended.inner else None

    def rounded(self, images: Images) -> Images:
        """Return images of 2^bits values a channel.

        Example:
            >>> BitDepth(bits=1).rounded(tf.constant([0.2, 0.7])).numpy()
            array([0., 1.], dtype=float32)
        """
        return rounded(images, self.bits)


def rounded(images: Images, bits: int) -> Images:
    """Return images in [0, 1] rounded to 2^bits values a channel."""
    most = float(2**bits - 1)
    return tf.round(images * most) / most
