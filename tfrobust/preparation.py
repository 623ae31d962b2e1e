"""How a decoded picture became an image of the training: a record, and what carries it out.

An exported classifier that takes picture files, or pixels of 8 bits, repeats it. It stands in the
card, so that neither the scenario nor its data is needed.

Example:
    >>> recorded = Preparation(channels=3, steps=(Square(), Resize(height=64, width=64)))
    >>> recorded(tf.zeros((480, 640, 3))).shape
    TensorShape([64, 64, 3])
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
import tensorflow as tf

from tfrobust.types import Image, ImageShape

Side = Annotated[int, pydantic.Field(ge=1, le=2**16)]


class _Step(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class Resize(_Step):
    """Scaled to a size, whatever its proportions were; shrinking bilinearly is antialiased."""

    step: Literal["resize"] = "resize"
    height: Side
    width: Side
    method: Literal["nearest", "bilinear"] = "bilinear"

    def __call__(self, image: Image) -> Any:
        """Return the scaled image."""
        return _sized(image, (self.height, self.width), self.method)


class ShorterSide(_Step):
    """Scaled bilinearly, so that the shorter side has a number of pixels."""

    step: Literal["shorter_side"] = "shorter_side"
    pixels: Side

    def __call__(self, image: Image) -> Any:
        """Return the scaled image."""
        sides = tf.shape(image)[-3:-1]
        return _sized(image, sides * self.pixels // tf.reduce_min(sides), "bilinear")


class CentralCrop(_Step):
    """Cut to the middle, or surrounded by black where it is too small."""

    step: Literal["central_crop"] = "central_crop"
    height: Side
    width: Side

    def __call__(self, image: Image) -> Any:
        """Return the middle."""
        return tf.image.resize_with_crop_or_pad(image, self.height, self.width)


class Square(_Step):
    """Cut to the middle square."""

    step: Literal["square"] = "square"

    def __call__(self, image: Image) -> Any:
        """Return the middle."""
        side = tf.reduce_min(tf.shape(image)[-3:-1])
        return tf.image.resize_with_crop_or_pad(image, side, side)


class Grey(_Step):
    """Turned from three channels to one, as `tf.image.rgb_to_grayscale` weighs them."""

    step: Literal["grey"] = "grey"

    def __call__(self, image: Image) -> Any:
        """Return one channel."""
        return tf.image.rgb_to_grayscale(image)


class Repeat(_Step):
    """The first channel, repeated."""

    step: Literal["repeat"] = "repeat"
    channels: Literal[1, 3]

    def __call__(self, image: Image) -> Any:
        """Return the repeated channel."""
        return tf.repeat(image[..., :1], self.channels, axis=-1)


Step = Annotated[
    Resize | ShorterSide | CentralCrop | Square | Grey | Repeat,
    pydantic.Field(discriminator="step"),
]


class Preparation(pydantic.BaseModel):
    """How a decoded picture became an image of the training.

    Attributes:
        channels: that a picture is decoded to: 1 for grey, as ITU-R 601 weighs the colours and
            Pillow rounds them, or 3.
        steps: what is done to it then, in this order.
        dct: how JPEGs are decoded: `accurate`, as Pillow does, or by `tensorflow`'s own choice,
            which differs by up to 5 of 255.
        upright: whether a JPEG is turned as its EXIF orientation says.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    channels: Literal[1, 3]
    steps: tuple[Step, ...] = pydantic.Field((), max_length=16)
    dct: Literal["accurate", "tensorflow"] = "accurate"
    upright: bool = False

    def __call__(self, picture: Image) -> Any:
        """Return an image, or a batch of images.

        Args:
            picture: float32 `(…, height, width, channels)` in [0, 1], of any size.

        Returns:
            float32 `(…, height, width, channels)` in [0, 1], of the size of the training.
        """
        for step in self.steps:
            picture = step(picture)
        return tf.clip_by_value(picture, 0.0, 1.0)  # rounded sums of weights exceed it by a bit

    def then(self, *steps: Step) -> Preparation:
        """Return a preparation that goes on with further steps."""
        return self.model_copy(update={"steps": (*self.steps, *steps)})


def plain_preparation(image_shape: ImageShape) -> Preparation | None:
    """Return the one of pictures that are only scaled to the size of the images.

    Returns:
        `None` for images of other channels than 1 or 3: no picture file holds those.

    Example:
        >>> plain_preparation((8, 8, 1)).steps
        (Resize(step='resize', height=8, width=8, method='bilinear'),)
    """
    height, width, channels = image_shape
    if channels not in (1, 3):
        return None
    return Preparation(channels=channels, steps=(Resize(height=height, width=width),))


def _sized(image: Image, sides: Any, method: str) -> Any:
    # Resizing a picture to its own size changes nothing, and takes longer than decoding it.
    fits = tf.reduce_all(tf.shape(image)[-3:-1] == sides)
    return tf.cond(
        fits, lambda: image, lambda: tf.image.resize(image, sides, method, antialias=True)
    )
