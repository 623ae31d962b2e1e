"""Networks built here in torchvision's names, whose state dicts therefore fit."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
import pydantic

from tfrobust.options import option, plugin
from tfrobust.registry import name_of
from tfrobust.types import ImageShape
from tfrobust_models.imagenet import IMAGENET, ScalableModel
from tfrobust_models.pixels import CIFAR10, TORCHVISION, PixelRange
from tfrobust_models.torch_weights import fill, read_state_dict


@plugin
class TorchvisionModel(ScalableModel):
    """A network whose layers have torchvision's names.

    Attributes:
        first: the first convolution's name.
    """

    first: ClassVar[str]
    reads_files: ClassVar[bool] = True

    weights: str | None = option(
        "none; imagenet: the weights of keras.applications, if it has any; or a .pth or "
        ".safetensors file with torchvision's names",
        default=None,
    )
    head: Literal["loaded", "new"] = option(
        "last layer: loaded, or new for other classes", default="loaded"
    )
    normalized: Literal["own", "imagenet", "cifar10"] = option(
        "mean and deviation of what it reads: imagenet, cifar10, or own: those of its weights' "
        "training; untrained, from -1 to 1",
        default="own",
    )

    @pydantic.field_validator("normalized")
    @classmethod
    def _check_normalized(cls, value: str, info: pydantic.ValidationInfo) -> str:
        if info.data.get("weights") == IMAGENET and value != "own":
            raise ValueError("weights=imagenet were trained on other pixels; leave normalized out")
        return value

    @property
    def _standard(self) -> bool:
        return super()._standard and self.normalized == "own"

    @abc.abstractmethod
    def _network(self, x: Any, num_classes: int) -> Any:
        """Return the logits of pixels."""

    def _flattened(self) -> Mapping[str, tuple[int, int, int]]:
        """Return which dense layers read flattened maps, and of what size."""
        return {}

    def _built_here(self, image_shape: ImageShape, num_classes: int) -> Any:
        """Return the network, with the state dict's weights where one is given.

        Raises:
            DataError: the state dict cannot be read, or does not fit.
        """
        state = read_state_dict(self._file) if self._file else {}
        images, x = self._pixels(state).entrance(image_shape)
        logits = self._network(x, num_classes)
        model = keras.Model(images, logits, name=name_of(self))
        if self._file:
            new_head = model.layers[-1].name if self.head == "new" else None
            fill(model, state, str(self._file), new_head=new_head, flattened=self._flattened())
        return model

    def _pixels(self, state: Mapping[str, Any]) -> PixelRange:
        pixels = CIFAR10 if self.normalized == "cifar10" else TORCHVISION
        if not self._file:
            own = self.normalized == "own"
            return self.untrained_pixels if own else dataclasses.replace(pixels, colour=False)
        kernel = state.get(f"{self.first}.weight")
        if kernel is not None and kernel.ndim == 4 and kernel.shape[1] == 1:
            return dataclasses.replace(pixels, colour=False)  # grey's own
        return pixels
