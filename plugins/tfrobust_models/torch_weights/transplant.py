"""A state dict's tensors into a Keras model whose layers have PyTorch's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tfrobust.errors import DataError
from tfrobust.types import KerasModel
from tfrobust_models.kernels import for_channels

_NAMES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_IGNORED = "num_batches_tracked"  # PyTorch counts the batches; nothing reads it at inference
_MOST = 6  # names a message lists of each kind
_RGB = 3


@dataclasses.dataclass(frozen=True)
class _Slot:
    """A weight of the model, and the shape it has in PyTorch."""

    variable: Any
    flattened: tuple[int, int, int] | None  # what a dense layer reads was flattened from

    @property
    def shape(self) -> tuple[int, ...]:
        shape = tuple(self.variable.shape)
        if len(shape) == 4:  # convolution
            return shape[3], shape[2], shape[0], shape[1]
        return shape[::-1]

    def take(self, tensor: np.ndarray) -> None:
        """Assign a tensor of `shape`: (out, in, height, width) → (height, width, in, out)."""
        if tensor.ndim == 4:
            tensor = tensor.transpose(2, 3, 1, 0)
        elif tensor.ndim == 2 and self.flattened:  # PyTorch flattens channels first
            height, width, channels = self.flattened
            maps = tensor.reshape(-1, channels, height, width).transpose(2, 3, 1, 0)
            tensor = maps.reshape(-1, maps.shape[-1])
        else:
            tensor = tensor.T
        self.variable.assign(tensor.astype(np.float32))


def fill(
    model: KerasModel,
    state: Mapping[str, np.ndarray],
    source: str,
    *,
    new_head: str | None = None,
    flattened: Mapping[str, tuple[int, int, int]] | None = None,
) -> None:
    """Give a model the weights of a state dict, all or none.

    Args:
        model: a Keras model; a layer is called what PyTorch calls its module.
        state: name → tensor.
        source: the file, for messages.
        new_head: a layer that keeps its own weights; the state dict's are left out.
        flattened: name of a dense layer → `(height, width, channels)` of the maps before it.

    Raises:
        DataError: tensors are missing, surplus, misshapen or not finite; each is named.
    """
    flattened = flattened or {}
    slots = {
        f"{layer.name}.{_NAMES[variable.name]}": _Slot(variable, flattened.get(layer.name))
        for layer in model.layers
        if layer.name != new_head
        for variable in layer.weights
    }
    own = {
        name: tensor
        for name, tensor in state.items()
        if not name.endswith(_IGNORED) and not (new_head and name.startswith(f"{new_head}."))
    }
    _adapt_first_kernel(own, slots)
    _check_names_and_shapes(own, slots, f"{source} does not fit {model.name}", model.layers[-1])
    for name in slots:
        if not np.isfinite(own[name]).all():
            raise DataError(f"{source}: {name} holds NaN or infinity")
    for name, slot in slots.items():
        slot.take(own[name])


def _adapt_first_kernel(own: dict[str, np.ndarray], slots: Mapping[str, _Slot]) -> None:
    """Fit a kernel made for colour images to another number of channels."""
    name, slot = next(iter(slots.items()))
    kernel, channels = own.get(name), slot.shape[1]
    if kernel is not None and kernel.ndim == 4 and kernel.shape[1] == _RGB != channels:
        adapted = for_channels(kernel.transpose(2, 3, 1, 0), channels)
        own[name] = adapted.transpose(3, 2, 0, 1)


def _check_names_and_shapes(
    own: Mapping[str, np.ndarray], slots: Mapping[str, _Slot], refusal: str, last: Any
) -> None:
    misshapen = [
        name
        for name, slot in slots.items()
        if name in own and (own[name].shape != slot.shape or own[name].dtype.kind != "f")
    ]
    problems = {
        "missing": [name for name in slots if name not in own],
        "surplus": [name for name in own if name not in slots],
        "misshapen": [
            f"{name} (expected {_spelled(slots[name].shape)}; "
            f"received: {_spelled(own[name].shape, own[name].dtype)})"
            for name in misshapen
        ],
    }
    if not any(problems.values()):
        return
    hint = ""
    if misshapen and all(name.startswith(f"{last.name}.") for name in misshapen):
        hint = "; it has other classes: -p head=new keeps all but the last layer, to be trained"
    listed = "; ".join(f"{kind}: {_listed(names)}" for kind, names in problems.items() if names)
    raise DataError(f"{refusal}: {listed}{hint}")


def _spelled(shape: Iterable[int], dtype: Any = None) -> str:
    sizes = "×".join(map(str, shape)) or "a single number"
    return sizes if dtype is None or dtype.kind == "f" else f"{sizes} of {dtype}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(names[:_MOST]) + more
