"""Certificates by interval bound propagation.

ε: the largest with  u_k(ε) < 0 for every other class k,  u_k(ε) ≥ max z_k − z_y over ‖x′ − x‖ ≤ ε

Gowal, Dvijotham, Stanforth et al., "On the effectiveness of interval bound propagation for training
verifiably robust models" (2018). A box around the image goes through the network, layer by layer;
see `tfrobust.bounds.intervals`. Guaranteed, with a margin for rounding: no image in [0, 1] within ε
is read as another class. Radii are of use for networks that were trained for them (`ibp_training`).
Departure: L2 and L1 too, where the layers up to the first activation are bounded by the dual norm.
"""

from __future__ import annotations

from tfrobust.bounds import IntervalBounds
from tfrobust.options import plugin
from tfrobust.types import KerasModel
from tfrobust_certifiers.bounded import BoundCertifier


@plugin
class IntervalCertifier(BoundCertifier):
    """Radii by interval bounds: one cheap pass a step, wide bounds.

    Example:
        >>> ibp = create("certifiers", "ibp")
        >>> ibp.verify(network, images, labels, 0.1, seed=0).mean()
        0.62
    """

    def bounds(self, model: KerasModel) -> IntervalBounds:
        """Return interval bounds; see `BoundCertifier`."""
        return IntervalBounds(model, asking="ibp")
