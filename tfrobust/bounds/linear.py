"""Linear bounds: a linear function of the answers goes back through the network to the image.

min ⟨a, f(x)⟩ ≥ min ⟨a′, x⟩ + c, with lines in the place of each activation:
α x ≤ h(x) ≤ (x − l) u / (u − l) for ReLU where l < 0 < u; the lower one where the function's slope
is above 0, the upper one where it is below

Zhang, Weng, Chen, Hsieh & Daniel, "Efficient neural network robustness certification with general
activation functions" (CROWN, 2018). l and u of every activation are found in the same way, layer
by layer, and are never outside of the interval bounds. α is 1 where u > −l and else 0; with
`steps`, α of each function is optimised (α-CROWN):

Xu, Zhang, Wang, Wang, Jana, Lin & Hsieh, "Fast and complete: enabling complete verification with
rapid and massively parallel incomplete verifiers" (2021). Departures: l and u keep the α of CROWN,
where the paper optimises those of every activation too. A maximum is replaced by one of its numbers
from below, and by its upper bound from above unless that number is the largest for certain; an
activation other than ReLU and leaky ReLU by its two bounds. Margins are left for rounding
(`around.ROUNDING`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.bounds.around import Around, Slopes
from tfrobust.bounds.ascent import highest
from tfrobust.bounds.intervals import IntervalBounds
from tfrobust.bounds.operations import Rectifier
from tfrobust.bounds.pulling import Boxes, least, margins
from tfrobust.bounds.relaxations import rectifier_lines
from tfrobust.bounds.targets import Target
from tfrobust.types import KerasModel, Labels, Logits


class LinearBounds(IntervalBounds):
    """Linear bounds of a network's answers over the images near an image.

    Args:
        model: functional or sequential, of either generation of Keras.
        asking: who wants them, for messages.
        steps: of the optimisation of α; 0: plain CROWN.

    Raises:
        UsageError: names a layer or an activation whose bounds are not known, and those that are.

    Example:
        >>> LinearBounds(network.model, steps=20).worst(Around(images, 0.02), labels).shape
        TensorShape([32, 10])
    """

    through: ClassVar[bool] = True

    def __init__(self, model: KerasModel, *, asking: str = "linear bounds", steps: int = 0) -> None:
        super().__init__(model, asking=asking)
        self.steps = steps
        operations = enumerate(self.network.operations, start=1)
        self._leaks = {at: o.leak for at, o in operations if isinstance(o, Rectifier)}

    def lead(self, boxes: Boxes, around: Around, labels: Labels) -> Logits:
        """Return an upper bound of each class's lead, never above that of the boxes alone."""
        network = self.network
        slopes = margins(labels, network.classes)

        def margin(lower: dict[int, Slopes] | None = None) -> Any:
            given = (network, slopes, network.output, boxes, around)
            return least(*given, through=True, lower=lower)

        found = tf.maximum(-super().lead(boxes, around, labels), margin())
        if self.steps and self._leaks:
            start = self._lower_slopes(boxes, tf.shape(slopes)[1])
            found = tf.maximum(found, highest(margin, start, self._leaks, self.steps))
        return -found

    def _is_loose(self, target: Target, around: Around) -> bool:
        """See `IntervalBounds`; the box of one operation that mixes is exact in L∞."""
        return around.norm != "linf" or target.follows > 0 or target.mixes > 1

    def _lower_slopes(self, boxes: Boxes, count: Any) -> dict[int, Slopes]:
        """Return CROWN's α of every rectifier, one for each of `count` functions."""
        read = {at: self.network.operations[at - 1].reads[0] for at in self._leaks}
        lines = {at: rectifier_lines(boxes[read[at]], leak) for at, leak in self._leaks.items()}
        return {at: tf.repeat(line.lower[:, None], count, axis=1) for at, line in lines.items()}
