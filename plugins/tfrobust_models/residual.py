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

    def features(self, x: Any, *, width: float, cifar: bool, shortcuts: bool = True) -> Any:
        """Return the last feature maps.

        Args:
            x: pixels.
            width: multiplies the filters.
            cifar: begin with 3×3 and stride 1, without pooling.
            shortcuts: add each block's input to its output.
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
                name, input_of_block = f"layer{stage + 1}.{block}", x
                x = _block(x, self._convolutions(filters, stride), name)
                x = _with_shortcut(x, input_of_block, stride, name) if shortcuts else x
                x = rectified(x, name)
        return x

    def _convolutions(self, filters: int, stride: int) -> Sequence[tuple[int, int, int]]:
        """Return filters, size and stride of a block's convolutions."""
        if self.bottleneck:
            return (filters, 1, 1), (filters, 3, stride), (filters * EXPANSION, 1, 1)
        return (filters, 3, stride), (filters, 3, 1)


def _block(x: Any, convolutions: Sequence[tuple[int, int, int]], name: str) -> Any:
    """Convolutions, each normalised, with ReLU between them."""
    for number, (filters, size, stride) in enumerate(convolutions, 1):
        x = rectified(x) if number > 1 else x
        x = convolution(x, filters, size, stride, name=f"{name}.conv{number}")
        x = normalized(x, f"{name}.bn{number}")
    return x


def _with_shortcut(y: Any, x: Any, stride: int, name: str) -> Any:
    """Add a block's input x to its output y, projected where the shape changes."""
    if stride > 1 or x.shape[-1] != y.shape[-1]:
        x = convolution(x, y.shape[-1], 1, stride, name=f"{name}.downsample.0")
        x = normalized(x, f"{name}.downsample.1")
    return keras.layers.Add(name=f"{name}.add")([x, y])
