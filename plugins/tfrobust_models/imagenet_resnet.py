"""ResNet-18, 34, 50 and 101, for ImageNet and for small images.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016).

The published ResNet-50 and 101 are those of `keras.applications`, as the paper has them: the stride
in a block's first 1×1 convolution. State dicts in torchvision's names need torchvision's networks
(the stride in the 3×3, "v1.5"); the variants for small images and other widths are those too, so
that one builder serves all and a state dict of a variant fits. ResNet-18 and 34 are the same in
both; Keras has none, so they are always built here.

`shortcuts=false` builds the "plain" network that the paper compares with: the same layers, nothing
added to the output of a block, and no projections.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import pydantic

from tfrobust.options import option, plugin
from tfrobust.types import ImageShape
from tfrobust_models.imagenet import has_new_head
from tfrobust_models.pixels import CAFFE
from tfrobust_models.residual import Residual
from tfrobust_models.torchvision import TorchvisionModel


@plugin
class _ResNet(TorchvisionModel):
    """A residual network; its last layer is `fc`, or `predictions` where Keras built it."""

    family: ClassVar[Residual]
    imagenet_pixels, blue_first, first = CAFFE, True, "conv1"
    he_normal = True

    shortcuts: bool = option(
        "add the input of a block to its output; no: the plain network", default=True
    )

    @pydantic.field_validator("shortcuts")
    @classmethod
    def _check_shortcuts(cls, value: bool, info: pydantic.ValidationInfo) -> bool:
        if not value and info.data.get("weights") is not None:
            raise ValueError("without shortcuts there are no weights; leave weights out")
        return value

    @property
    def _standard(self) -> bool:
        return super()._standard and self.shortcuts

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        if not self._by_keras:
            return self._built_here(image_shape, num_classes)
        new_head = self.head == "new" or has_new_head(num_classes)
        return self._from_keras(image_shape, num_classes, whole=not new_head)

    def _network(self, x: Any, num_classes: int) -> Any:
        cifar = self.stem == "cifar"
        x = self.family.features(x, width=self.width, cifar=cifar, shortcuts=self.shortcuts)
        x = keras.layers.GlobalAveragePooling2D(name="avgpool")(x)
        return keras.layers.Dense(num_classes, name="fc")(x)


@plugin
class ResNet18(_ResNet):
    """ResNet-18: 17 convolutions in basic blocks; 11,689,512 parameters at 1000 classes."""

    family = Residual((2, 2, 2, 2), bottleneck=False)


@plugin
class ResNet34(_ResNet):
    """ResNet-34: 33 convolutions in basic blocks; 21,797,672 parameters at 1000 classes."""

    family = Residual((3, 4, 6, 3), bottleneck=False)


@plugin
class ResNet50(_ResNet):
    """ResNet-50: 49 convolutions in bottlenecks."""

    family = Residual((3, 4, 6, 3), bottleneck=True)
    application = staticmethod(keras.applications.ResNet50)


@plugin
class ResNet101(_ResNet):
    """ResNet-101: 100 convolutions in bottlenecks."""

    family = Residual((3, 4, 23, 3), bottleneck=True)
    application = staticmethod(keras.applications.ResNet101)
