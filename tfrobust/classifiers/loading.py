"""How a classifier is loaded: what the user vouches for, and what must be converted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.errors import UsageError

UNIT = (0.0, 1.0)  # the pixels of all scenarios
_REMOTE = RemoteOptions()


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
        class_names: of the images that it is asked about; what an endpoint names is put into
            their order.
        remote: how an endpoint is asked.
    """

    to_logits: bool = False
    pixel_range: tuple[float, float] = UNIT
    trust: bool = False
    custom_objects: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    class_names: tuple[str, ...] = ()
    remote: RemoteOptions = _REMOTE

    def __post_init__(self) -> None:
        least, most = self.pixel_range
        if not (least < most and abs(least) < float("inf") and abs(most) < float("inf")):
            raise UsageError(
                "pixel_range: expected two numbers, the smaller one first, such as 0,255; "
                f"received: {least:g},{most:g}"
            )

    def recorded(self) -> dict[str, Any]:
        """Return what a plan keeps of it: what changes the network, and nothing that runs code."""
        kept = {"to_logits": self.to_logits, "pixel_range": list(self.pixel_range)}
        return kept if (self.to_logits or self.pixel_range != UNIT) else {}

    @classmethod
    def restored(cls, record: Mapping[str, Any]) -> LoadOptions:
        """Return the options that a plan keeps; see `recorded`.

        Raises:
            UsageError: they are of another form.
        """
        given = record.get("pixel_range", list(UNIT))
        numbers = isinstance(given, list) and [isinstance(n, (int, float)) for n in given]
        if numbers != [True, True]:
            raise UsageError(f"pixel_range: expected two numbers; received: {given!r}")
        return cls(to_logits=record.get("to_logits") is True, pixel_range=(given[0], given[1]))

    def for_images(
        self, image_shape: tuple[int, int, int], class_names: Sequence[str] = ()
    ) -> LoadOptions:
        """Return the options with a size for files that leave it open, and the classes' names.

        Example:
            >>> store.load("open.keras", options=LoadOptions().for_images((8, 8, 1)))
        """
        return dataclasses.replace(self, image_shape=image_shape, class_names=tuple(class_names))


AS_IT_IS = LoadOptions()
