"""A Keras 3 model's copy in PyTorch: the same graph, the same weights, channels first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
from torch.nn import functional

_TOLERANCE = 1e-3


class TorchCopy(torch.nn.Module):
    """Runs a functional Keras model, layer by layer, in PyTorch.

    Args:
        model: of convolutions, dense layers, batch normalisation (in inference mode), max and
            global average pooling, ReLU and additions.

    Raises:
        ValueError: a layer of another kind, or logits that differ from the original's.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
        self._start = id(model.inputs[0])
        self._end = id(model.outputs[0])
        self._steps = [(_names(layer.input), id(layer.output), _copy(layer)) for layer in layers]
        self._compare(model)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits `(batch, classes)` of images `(batch, channels, height, width)`."""
        values = {self._start: images}
        for inputs, output, run in self._steps:
            values[output] = run(*(values[name] for name in inputs))
        return values[self._end]

    def _compare(self, model: Any) -> None:
        shape = (8, *model.inputs[0].shape[1:])
        images = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
        with torch.no_grad():
            ours = self(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
        difference = np.abs(ours - np.asarray(model(images, training=False))).max()
        if difference > _TOLERANCE:
            raise ValueError(f"the copy's logits differ from the original's by {difference:.2g}")


def _names(tensors: Any) -> list[int]:
    return [id(tensor) for tensor in (tensors if isinstance(tensors, list) else [tensors])]


def _copy(layer: Any) -> Callable[..., torch.Tensor]:
    kind = type(layer).__name__
    if kind not in _KINDS:
        raise ValueError(f"no copy of a layer of the kind {kind}; there are: {', '.join(_KINDS)}")
    run = _KINDS[kind](layer)
    activation = getattr(layer, "activation", None)
    if activation is keras.activations.relu:
        return lambda *inputs: functional.relu(run(*inputs))
    if activation not in {None, keras.activations.linear}:
        raise ValueError(f"{layer.name}: no copy of the activation {activation}")
    return run


def _convolution(layer: Any) -> Callable[..., torch.Tensor]:
    kernel = torch.tensor(np.asarray(layer.kernel)).permute(3, 2, 0, 1).contiguous()
    bias = torch.tensor(np.asarray(layer.bias)) if layer.use_bias else None
    pad = _padding(layer, layer.kernel_size)
    return lambda x: functional.conv2d(pad(x, 0.0), kernel, bias, layer.strides)


def _max_pooling(layer: Any) -> Callable[..., torch.Tensor]:
    pad = _padding(layer, layer.pool_size)
    least = -float("inf")
    return lambda x: functional.max_pool2d(pad(x, least), layer.pool_size, layer.strides)


def _padding(layer: Any, window: Any) -> Callable[[torch.Tensor, float], torch.Tensor]:
    """Return TensorFlow's padding `same`, whose odd pixel goes below and to the right."""
    around: list[int] = []
    sizes = layer.input.shape[1:3]
    for size, reach, stride in zip(sizes, window, layer.strides, strict=True):
        whole = max(0, (-(-size // stride) - 1) * stride + reach - size)
        around = [whole // 2, whole - whole // 2, *around]  # PyTorch names the last axis first
    if layer.padding == "valid" or not any(around):
        return lambda x, value: x
    return lambda x, value: functional.pad(x, around, value=value)


def _dense(layer: Any) -> Callable[..., torch.Tensor]:
    kernel = torch.tensor(np.asarray(layer.kernel)).T.contiguous()
    bias = torch.tensor(np.asarray(layer.bias))
    return lambda x: functional.linear(x, kernel, bias)


def _normalisation(layer: Any) -> Callable[..., torch.Tensor]:
    mean, variance, gamma, beta = (
        torch.tensor(np.asarray(weight))
        for weight in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
    )
    return lambda x: functional.batch_norm(x, mean, variance, gamma, beta, eps=layer.epsilon)


_KINDS: dict[str, Callable[[Any], Callable[..., torch.Tensor]]] = {
    "Add": lambda layer: lambda *xs: sum(xs[1:], xs[0]),
    "BatchNormalization": _normalisation,
    "Conv2D": _convolution,
    "Dense": _dense,
    "Flatten": lambda layer: lambda x: x.permute(0, 2, 3, 1).flatten(1),
    "GlobalAveragePooling2D": lambda layer: lambda x: x.mean((2, 3)),
    "MaxPooling2D": _max_pooling,
    "ReLU": lambda layer: functional.relu,
}
