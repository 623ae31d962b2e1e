"""What the architectures that were made for ImageNet share: their options and what they refuse."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from tfrobust.errors import UsageError
from tfrobust.model import ModelBuilder
from tfrobust.options import option, plugin
from tfrobust.registry import name_of
from tfrobust.types import ImageShape, KerasModel
from tfrobust_models.applications import (
    IMAGENET_CLASSES,
    SMALLEST,
    application,
    draw_he_normal,
    take_imagenet,
)
from tfrobust_models.pixels import UNTRAINED, PixelRange

IMAGENET = "imagenet"


@plugin
class ImageNetModel(ModelBuilder):
    """An architecture of `keras.applications`, or one that torchvision's weights fit.

    Attributes:
        application: the function that builds it with Keras; `None` where Keras has none.
        imagenet_pixels: what its ImageNet weights were trained on.
        untrained_pixels: what it reads when it starts from random weights.
        blue_first: whether its ImageNet weights read blue, green, red.
        reads_files: whether state dicts fit it.
        he_normal: whether untrained kernels are drawn He-normal where Keras has them otherwise.
    """

    application: ClassVar[Callable[..., Any] | None] = None
    imagenet_pixels: ClassVar[PixelRange]
    untrained_pixels: ClassVar[PixelRange] = UNTRAINED
    blue_first: ClassVar[bool] = False
    reads_files: ClassVar[bool] = False
    he_normal: ClassVar[bool] = False

    weights: str | None = option(
        "none, or imagenet: the weights of keras.applications", default=None
    )

    @pydantic.field_validator("weights")
    @classmethod
    def _check_weights(cls, weights: str | None) -> str | None:
        if weights == "":
            raise ValueError("expected none, imagenet or a file")
        if weights == IMAGENET and cls.application is None:
            raise ValueError(
                "keras.applications has no ImageNet weights for this network; give a state dict "
                "in torchvision's names, or none"
            )
        if weights not in {None, IMAGENET} and not cls.reads_files:
            raise ValueError(
                "expected none or imagenet; a state dict fits only the ResNets 18 to 101 and VGG"
            )
        return weights

    @property
    def smallest_side(self) -> int:
        """What `keras.applications` takes."""
        return SMALLEST

    def build(self, image_shape: ImageShape, num_classes: int) -> KerasModel:
        """Return the model; see `ModelBuilder.build`.

        Raises:
            UsageError: the images are smaller than `smallest_side`.
            DataError: the weights cannot be had, or do not fit.
        """
        if min(image_shape[:2]) < self.smallest_side:
            raise UsageError(
                f"{name_of(self)}: expected images of {self.smallest_side}×{self.smallest_side} "
                f"or larger; received: {image_shape[0]}×{image_shape[1]}; {self._way_out()}"
            )
        return self._built(image_shape, num_classes)

    def _way_out(self) -> str:
        return f"enlarge them by the scenario's option size, such as -p digits.size={SMALLEST}"

    @abc.abstractmethod
    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        """Build it for images that are large enough."""

    def _from_keras(self, image_shape: ImageShape, num_classes: int, **choice: Any) -> Any:
        """Return what `keras.applications` builds, with ImageNet's weights where they are wanted.

        Args:
            image_shape: `(height, width, channels)`.
            num_classes: how many logits.
            **choice: of `take_imagenet`.
        """
        function: Any = type(self).application
        pretrained = self.weights == IMAGENET
        pixels = self.imagenet_pixels if pretrained else self.untrained_pixels
        model = application(function, image_shape, num_classes, pixels, name_of(self))
        if pretrained:
            take_imagenet(model, function, blue_first=self.blue_first, **choice)
        elif self.he_normal:
            draw_he_normal(model)
        return model


def check_published(value: Any, info: pydantic.ValidationInfo) -> Any:
    """Refuse ImageNet's weights where `stem` or `width` is not as published; see pydantic."""
    if info.data.get("weights") == IMAGENET and value not in {"imagenet", 1.0}:
        raise ValueError("weights=imagenet fits only the published stem=imagenet and width=1")
    return value


@plugin
class ScalableModel(ImageNetModel):
    """A model that has a variant for small images, and wider and narrower ones."""

    stem: Literal["imagenet", "cifar"] = option(
        "imagenet, or cifar: first convolution 3×3 with stride 1, for images below about 64×64",
        default="imagenet",
    )
    width: float = option("multiplies the number of filters", default=1.0, gt=0, le=16)

    _check_published = pydantic.field_validator("stem", "width")(check_published)

    @property
    def smallest_side(self) -> int:
        """What `keras.applications` takes; any side where the network is built here."""
        return SMALLEST if self._by_keras else 1

    @property
    def _standard(self) -> bool:
        """Whether it is the published network."""
        return self.stem == "imagenet" and self.width == 1

    @property
    def _by_keras(self) -> bool:
        """Whether `keras.applications` builds it."""
        return self._standard and self.application is not None and not self._file

    @property
    def files(self) -> Mapping[str, str]:
        """The state dict's, if one is given and is there."""
        if self._file is None or not self._file.is_file():
            return {}  # `build` says what is wrong with it
        with self._file.open("rb") as file:
            return {"weights": hashlib.file_digest(file, "sha256").hexdigest()}

    @property
    def _file(self) -> Path | None:
        return Path(self.weights) if self.weights not in {None, IMAGENET} else None

    def _way_out(self) -> str:
        return f"{super()._way_out()}, or build for small images: -p stem=cifar"


def has_new_head(num_classes: int) -> bool:
    """Tell whether ImageNet's last layer has other classes than these."""
    return num_classes != IMAGENET_CLASSES


def scaled(filters: int, width: float) -> int:
    """Return a number of filters times the width, at least one."""
    return max(1, round(filters * width))
