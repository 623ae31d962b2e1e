"""Residual networks of basic and of bottleneck blocks, in torchvision's names and arithmetic.

He, Zhang, Ren & Sun, "Deep residual learning for image recognition" (2016), table 1. Departures,
all of them torchvision's: in a bottleneck the stride is in the 3×3 convolution instead of the first
1×1 ("v1.5"), which looks at every pixel; projections where the shape changes; padding on both
sides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from tfrobust_models.imagenet import scaled
from tfrobust_models.layers import convolution, normalized, pooled, rectified

FILTERS = 64  # of the first stage
EXPANSION = 4  # a bottleneck's output over its inner filters


@dataclasses.dataclass(frozen=True)
class Residual:
    """A family member.

    Attributes:
        blocks: in each stage.
        bottleneck: three convolutions a block, or two.
    """

    blocks: tuple[int, ...]
    bottleneck: bool

    def features(self, x: Any, *, width: float, cifar: bool) -> Any:
        """Return the last feature maps.

        Args:
            x: pixels.
            width: multiplies the filters.
            cifar: begin with 3×3 and stride 1, without pooling.
        """
        x = convolution(
            x, scaled(FILTERS, width), 3 if cifar else 7, 1 if cifar else 2, name="conv1"
        )
        x = rectified(normalized(x, "bn1"))
        if not cifar:
            x = pooled(x)
        for stage, blocks in enumerate(self.blocks):
            filters = scaled(FILTERS << stage, width)
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                x = _block(x, self._convolutions(filters, stride), f"layer{stage + 1}.{block}")
        return x

    def _convolutions(self, filters: int, stride: int) -> Sequence[tuple[int, int, int]]:
        """Return filters, size and stride of a block's convolutions."""
        if self.bottleneck:
            return (filters, 1, 1), (filters, 3, stride), (filters * EXPANSION, 1, 1)
        return (filters, 3, stride), (filters, 3, 1)


def _block(x: Any, convolutions: Sequence[tuple[int, int, int]], name: str) -> Any:
    """Convolutions around a shortcut."""
    filters, stride = convolutions[-1][0], max(stride for *_, stride in convolutions)
    y = x
    for number, (inner, size, step) in enumerate(convolutions, 1):
        y = rectified(y) if number > 1 else y
        y = convolution(y, inner, size, step, name=f"{name}.conv{number}")
        y = normalized(y, f"{name}.bn{number}")
    shortcut = x
    if stride > 1 or x.shape[-1] != filters:
        shortcut = convolution(x, filters, 1, stride, name=f"{name}.downsample.0")
        shortcut = normalized(shortcut, f"{name}.downsample.1")
    return rectified(keras.layers.Add(name=f"{name}.add")([shortcut, y]), name)
