"""How images are put to an endpoint: as numbers, of a type and range, or as picture files."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfrobust.classifiers.remote.pictures import pngs
from tfrobust.classifiers.remote.protocol import Outputs, Wire
from tfrobust.errors import UsageError
from tfrobust.types import Images

_UNIT, _BYTE = (0.0, 1.0), (0.0, 255.0)


@dataclasses.dataclass(frozen=True)
class Question:
    """How images are put to an endpoint.

    Attributes:
        signature: its name.
        name: of the input; empty where the server describes none.
        dtype: of the input; that of Python's objects: PNG files.
        most: images a request, where the input's shape limits them.
        pixel_range: the least and the largest pixel that the model takes.
        feature: of the `tf.Example` that holds an image, where it is asked by the Classify API.
    """

    signature: str
    name: str
    dtype: type[np.generic]
    most: int | None = None
    # Kept answers are found by what a question looks like, and name the range by themselves.
    pixel_range: tuple[float, float] = dataclasses.field(default=_UNIT, repr=False)
    feature: str = dataclasses.field(default="", repr=False)

    @property
    def by_file(self) -> bool:
        """Whether images are sent as PNG files."""
        return self.dtype is np.object_

    @property
    def levels(self) -> int | None:
        """How many levels a sent pixel has; `None`: those of floating point."""
        if not (self.by_file or self.dtype is np.uint8):
            return None
        return int(self.pixel_range[1] - self.pixel_range[0]) + 1

    def put(self, images: Images) -> np.ndarray:
        """Return images as the input takes them.

        Args:
            images: `(n, height, width, channels)` in [0, 1].

        Returns:
            The same shape in the pixel range of the model; of PNG files: bytes, object `(n,)`.
        """
        pixels = _in_range(images, self.pixel_range)
        if self.levels is None:
            return pixels.astype(self.dtype)
        whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return pngs(whole) if self.by_file else whole

    def ask(self, wire: Wire, images: Images) -> Outputs:
        """Return what the endpoint answers about images in [0, 1]; see `Wire.predict`."""
        put = self.put(images)
        if self.feature:
            return wire.classify(self.signature, self.feature, put)
        return wire.predict(self.signature, self.name, put)

    def ranging(self, given: tuple[float, float]) -> Question:
        """Return the question with the pixels that the model takes.

        Args:
            given: by the user; that of 8 bits, where it is [0, 1], is 0 to 255.

        Raises:
            UsageError: 8 bits do not hold that range, or a picture file has another.
        """
        if not (self.by_file or self.dtype is np.uint8):
            return dataclasses.replace(self, pixel_range=given)
        least, most = _BYTE if given == _UNIT else given
        whole = float(least).is_integer() and float(most).is_integer()
        if not whole or least < 0 or most > 255 or (self.by_file and (least, most) != _BYTE):
            raise UsageError(
                "pixel_range: expected 0,255 for an endpoint that takes pixels of 8 bits; "
                f"received: {least:g},{most:g}"
            )
        return dataclasses.replace(self, pixel_range=(least, most))


def _in_range(images: Images, pixel_range: tuple[float, float]) -> Images:
    """Return images in [0, 1] with the pixels that the model was made for."""
    least, most = pixel_range
    if (least, most) == _UNIT:
        return images
    return images * np.float32(most - least) + np.float32(least)
