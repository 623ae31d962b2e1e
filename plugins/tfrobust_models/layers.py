"""The layers of the networks built here: convolutions, normalised and not."""

from __future__ import annotations

from typing import Any

import keras

from tfrobust_models.applications import MOMENTUM

_EPSILON = 1e-5  # PyTorch's


def convolution(
    x: Any, filters: int, size: int, stride: int = 1, *, name: str, bias: bool = False
) -> Any:
    """Convolve, with (size − 1) / 2 zeros on each side for every stride.

    Keras pads only at the end where a stride leaves an odd number of zeros: a state dict of
    PyTorch's would see the image shifted by a pixel.
    """
    same = stride == 1 or size == 1
    if not same:
        x = keras.layers.ZeroPadding2D((size - 1) // 2, name=f"{name}.pad")(x)
    return keras.layers.Conv2D(
        filters,
        size,
        stride,
        padding="same" if same else "valid",
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def normalized(x: Any, name: str, *, epsilon: float = _EPSILON) -> Any:
    """Normalise over the batch; moving averages have PyTorch's momentum (it calls it 0.1)."""
    return keras.layers.BatchNormalization(momentum=MOMENTUM, epsilon=epsilon, name=name)(x)


def rectified(x: Any, name: str | None = None) -> Any:
    """Return max(x, 0)."""
    return keras.layers.ReLU(name=name)(x)


def pooled(x: Any) -> Any:
    """Take the largest of 3×3 with stride 2, zeros around the image."""
    x = keras.layers.ZeroPadding2D(1, name="maxpool.pad")(x)
    return keras.layers.MaxPooling2D(3, 2, name="maxpool")(x)
