"""ResNet-50V2: normalisation and ReLU before each convolution, nothing after the sum.

He, Zhang, Ren & Sun, "Identity mappings in deep residual networks" (2016). The published network is
that of `keras.applications`; variants for small images and other widths are built here in the same
layout, which departs from the paper's in one thing: the stride is in a stage's last block.
"""

from __future__ import annotations

from typing import Any

import keras

from tfrobust.options import plugin
from tfrobust.types import ImageShape
from tfrobust_models.imagenet import ScalableModel, has_new_head, scaled
from tfrobust_models.layers import convolution, normalized, pooled, rectified
from tfrobust_models.pixels import CENTRED
from tfrobust_models.residual import EXPANSION, FILTERS

_BLOCKS = (3, 4, 6, 3)


@plugin
class ResNet50V2(ScalableModel):
    """ResNet-50V2: 49 convolutions in bottlenecks, pre-activated."""

    application = staticmethod(keras.applications.ResNet50V2)
    imagenet_pixels, he_normal = CENTRED, True

    def _built(self, image_shape: ImageShape, num_classes: int) -> Any:
        if self._by_keras:
            return self._from_keras(image_shape, num_classes, whole=not has_new_head(num_classes))
        images, x = self.untrained_pixels.entrance(image_shape)
        x = rectified(normalized(self._features(x), "post_bn"))
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        logits = keras.layers.Dense(num_classes, name="predictions")(x)
        return keras.Model(images, logits, name="resnet50v2")

    def _features(self, x: Any) -> Any:
        cifar = self.stem == "cifar"
        filters, size, stride = scaled(FILTERS, self.width), 3 if cifar else 7, 1 if cifar else 2
        x = convolution(x, filters, size, stride, name="conv1", bias=True)
        if not cifar:
            x = pooled(x)
        for stage, blocks in enumerate(_BLOCKS):
            filters = scaled(FILTERS << stage, self.width)
            for block in range(blocks):
                ends = block == blocks - 1 and stage < len(_BLOCKS) - 1
                name = f"layer{stage + 1}.{block}"
                x = _block(x, filters, 2 if ends else 1, projected=block == 0, name=name)
        return x


def _block(x: Any, filters: int, stride: int, *, projected: bool, name: str) -> Any:
    """1×1, 3×3 with the stride, 1×1, around a shortcut."""
    before = rectified(normalized(x, f"{name}.preact_bn"))
    shortcut = x
    if projected:
        shortcut = convolution(
            before, filters * EXPANSION, 1, stride, name=f"{name}.downsample", bias=True
        )
    elif stride > 1:
        shortcut = keras.layers.MaxPooling2D(1, stride, name=f"{name}.downsample")(x)
    y = convolution(before, filters, 1, name=f"{name}.conv1")
    y = rectified(normalized(y, f"{name}.bn1"))
    y = convolution(y, filters, 3, stride, name=f"{name}.conv2")
    y = rectified(normalized(y, f"{name}.bn2"))
    y = convolution(y, filters * EXPANSION, 1, name=f"{name}.conv3", bias=True)
    return keras.layers.Add(name=f"{name}.add")([shortcut, y])
