"""Certificates by linear bounds: CROWN, and α-CROWN.

ε: the largest with  u_k(ε) < 0 for every other class k,  u_k(ε) ≥ max z_k − z_y over ‖x′ − x‖ ≤ ε

Zhang, Weng, Chen, Hsieh & Daniel, "Efficient neural network robustness certification with general
activation functions" (2018); with `alpha_steps`, Xu, Zhang, Wang et al., "Fast and complete:
enabling complete verification with rapid and massively parallel incomplete verifiers" (2021). The
lead of a class is pulled back to the image as a linear function, with lines in the place of
activations; see `tfrobust.bounds.linear`, also for the departures. Guaranteed, with a margin for
rounding: no image in [0, 1] within ε is read as another class. Never less than `ibp` verifies at a
radius.
"""

from __future__ import annotations

from typing import Any

from tfrobust.bounds import LinearBounds
from tfrobust.options import option, plugin
from tfrobust.types import KerasModel
from tfrobust_certifiers.bounded import BoundCertifier


@plugin
class LinearCertifier(BoundCertifier):
    """Radii by linear bounds: of every layer's numbers, back to the image.

    Example:
        >>> crown = create("certifiers", "crown", norm="l2", alpha_steps=20)
        >>> crown.certify(network, images, labels, seed=0).radii
        array([0.412, 0.207], dtype=float32)
    """

    alpha_steps: int = option("gradient steps on the lower slopes; 0: plain CROWN", default=0, ge=0)

    @property
    def images_at_once(self) -> int:
        """Few: an image takes seconds, and as many passes at once do not make it faster."""
        return 8

    def bounds(self, model: KerasModel) -> LinearBounds:
        """Return linear bounds; see `BoundCertifier`."""
        return LinearBounds(model, asking="crown", steps=self.alpha_steps)

    def _traced(self) -> tuple[Any, ...]:
        return (self.norm, self.alpha_steps)
