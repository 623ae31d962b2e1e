"""How a classifier is loaded: what the user vouches for, and what must be converted."""

from __future__ import annotations

import dataclasses

from tfrobust.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What the user says about the file that a classifier is loaded from.

    Attributes:
        to_logits: convert a model that ends in a softmax or a sigmoid into one that ends in the
            logits before it.
        pixel_range: the least and the largest pixel that the model was made for; images in [0, 1]
            are scaled to it inside the classifier.
        trust: run a SavedModel although its operations touch files, sockets or processes.
        custom_objects: modules whose Keras classes the file may name. Their code is run.
    """

    to_logits: bool = False
    pixel_range: tuple[float, float] = (0.0, 1.0)
    trust: bool = False
    custom_objects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least, most = self.pixel_range
        if not (least < most and abs(least) < float("inf") and abs(most) < float("inf")):
            raise UsageError(
                "pixel_range: expected two numbers, the smaller one first, such as 0,255; "
                f"received: {least:g},{most:g}"
            )
