"""How a classifier is loaded: what the user vouches for, and what must be converted."""

from __future__ import annotations

import dataclasses

from tfrobust.errors import UsageError

UNIT = (0.0, 1.0)  # the pixels of all scenarios


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
        image_shape: `(height, width, channels)` where the file leaves the size open.
    """

    to_logits: bool = False
    pixel_range: tuple[float, float] = UNIT
    trust: bool = False
    custom_objects: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        least, most = self.pixel_range
        if not (least < most and abs(least) < float("inf") and abs(most) < float("inf")):
            raise UsageError(
                "pixel_range: expected two numbers, the smaller one first, such as 0,255; "
                f"received: {least:g},{most:g}"
            )

    def for_images(self, image_shape: tuple[int, int, int]) -> LoadOptions:
        """Return the options with a size for files that leave it open.

        Example:
            >>> store.load("open.keras", options=LoadOptions().for_images((8, 8, 1)))
        """
        return dataclasses.replace(self, image_shape=image_shape)


AS_IT_IS = LoadOptions()
