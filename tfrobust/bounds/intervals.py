"""Interval bound propagation: a box around the image goes through the network, layer by layer.

W x + b: μ ← W μ + b, r ← |W| r, of the box μ ± r;  monotone h: [l, u] ← [h(l), h(u)]

Gowal, Dvijotham, Stanforth et al., "On the effectiveness of interval bound propagation for training
verifiably robust models" (2018). The lead of another class, z_k − z_y, is bounded itself: the
linear layers behind the last activation are taken together. In L2 and L1, those before the first
one are as well, by ⟨w, x⟩ ± ε ‖w‖_q, q dual to the norm. Margins are left for
rounding (`around.ROUNDING`).
"""

from __future__ import annotations

from typing import ClassVar

from tfrobust.bounds.around import Around, Box
from tfrobust.bounds.network import Network
from tfrobust.bounds.pulling import Boxes, least, margins, tightened
from tfrobust.bounds.targets import Target, targets
from tfrobust.types import KerasModel, Labels, Logits


class IntervalBounds:
    """Interval bounds of a network's answers over the images near an image.

    Args:
        model: functional or sequential, of either generation of Keras.
        asking: who wants them, for messages.

    Raises:
        UsageError: names a layer whose bounds are not known, and those that are.

    Example:
        >>> IntervalBounds(network.model).worst(Around(images, 0.1), labels).shape
        TensorShape([128, 10])
    """

    through: ClassVar[bool] = False  # whether linear functions are pulled through activations

    def __init__(self, model: KerasModel, *, asking: str = "interval bounds") -> None:
        self.network = Network(model, asking=asking)
        self._targets = targets(self.network)

    def logits(self, around: Around) -> Box:
        """Return the bounds of each logit, `(batch, classes)` each."""
        return self.boxes(around)[self.network.output]

    def worst(self, around: Around, labels: Labels) -> Logits:
        """Return logits that no image near is worse than: 0 for the label, for others their lead.

        u_k ≥ max z_k − z_y over the images around.

        Args:
            around: the images near each image.
            labels: `(batch,)`.

        Returns:
            float32 `(batch, classes)`; an image is verified where every other class is below 0.
        """
        return self.lead(self.boxes(around), around, labels)

    def lead(self, boxes: Boxes, around: Around, labels: Labels) -> Logits:
        """Return what `worst` does, from the boxes of `boxes`."""
        network = self.network
        slopes = margins(labels, network.classes)
        return -least(network, slopes, network.output, boxes, around, through=False)

    def boxes(self, around: Around) -> list[Box]:
        """Return a box of every tensor of the network, the image's first."""
        boxes = [around.box()]
        for number, operation in enumerate(self.network.operations, start=1):
            boxes.append(operation.interval([boxes[read] for read in operation.reads]))
            target = self._targets.get(number)
            if target is not None and self._is_loose(target, around):
                boxes[number] = tightened(self.network, number, boxes, around, self.through)
        return boxes

    def _is_loose(self, target: Target, around: Around) -> bool:
        """Tell whether the box of what an activation reads is made tighter by linear functions."""
        return target.follows == 0 and around.norm != "linf"
