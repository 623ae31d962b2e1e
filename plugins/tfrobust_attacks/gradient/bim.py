"""The basic iterative method: FGSM in small steps, from the image itself.

x_{t+1} = clip(x + Π_ε(x_t + α · argmax_{‖d‖ ≤ 1} ⟨∇ L(x_t, y), d⟩ − x), 0, 1),  x_0 = x

Kurakin, Goodfellow & Bengio, "Adversarial examples in the physical world" (2017).
Threat: white-box; Linf, L2 or L1.
Departures: those of the shared loop, `tfrobust_attacks.gradient.ascent`; L2 and L1 as well as Linf.
"""

from __future__ import annotations

from tfrobust.options import plugin
from tfrobust_attacks.gradient.ascent import Ascent


@plugin
class BasicIterative(Ascent):
    """Iterated steepest ascent inside the ball, from the image itself."""
