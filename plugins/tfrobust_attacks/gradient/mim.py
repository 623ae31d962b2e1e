"""The momentum iterative method: steps along a running sum of gradients.

g_{t+1} = μ g_t + ∇ L(x_t, y) / ‖∇ L(x_t, y)‖_1
x_{t+1} = Π(x_t + α · argmax_{‖d‖ ≤ 1} ⟨g_{t+1}, d⟩)

Dong et al., "Boosting adversarial attacks with momentum" (2018).
Threat: white-box; Linf, L2 or L1.
Departures: those of the shared loop, `tfrobust_attacks.gradient.ascent`; L1 as well as Linf, L2.
All steps are taken unless `early_stop` is set: an image that goes on transfers better.
"""

from __future__ import annotations

import tensorflow as tf

from tfrobust.norms import PIXELS, TINY
from tfrobust.options import option, plugin
from tfrobust.types import Images
from tfrobust_attacks.gradient.ascent import Ascent


@plugin
class MomentumIterative(Ascent):
    """Iterated ascent along accumulated gradients; its images transfer well."""

    early_stop: bool = option("stop on an image once it is adversarial", default=False)
    decay: float = option("μ: decay of the accumulated gradients", default=1.0, ge=0, trace="input")

    def memory(self, images: Images) -> Images:
        """Return a momentum of zero."""
        return tf.zeros_like(images)

    def direction(self, gradient: Images, memory: Images) -> tuple[Images, Images]:
        """Add the gradient to the momentum, and follow that."""
        length = tf.reduce_sum(tf.abs(gradient), PIXELS, keepdims=True)
        momentum = self.decay * memory + gradient * (1.0 / tf.maximum(length, TINY))
        return momentum, momentum
