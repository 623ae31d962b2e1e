"""Tensors the way PyTorch stores them: a flat storage, and views by offset, shape and strides."""

from __future__ import annotations

import dataclasses
import math
from reprlib import repr as cut_repr  # a file may name what takes hours to print
from typing import Any

import numpy as np

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
STORAGE_NAMES = tuple(_STORAGES)


class _Final:
    """What no pickle can alter once it was checked: its opcode BUILD would write any attribute."""

    def __setstate__(self, state: Any) -> None:
        raise ValueError(f"it alters a {type(self).__name__.lower()} after it was made")


@dataclasses.dataclass(frozen=True)
class Storage(_Final):
    """A flat run of numbers in the file.

    Attributes:
        kind: PyTorch's name of its type, one of `STORAGE_NAMES`.
        key: what the file calls it.
        count: how many numbers.
    """

    kind: str
    key: str
    count: int

    def __post_init__(self) -> None:
        if self.kind not in _STORAGES:
            raise ValueError(f"a storage of an unknown type: {cut_repr(self.kind)}")
        # Keys name members of an archive: nothing that could be a path may pass.
        if not (isinstance(self.key, str) and self.key.isascii() and self.key.isdigit()):
            raise ValueError(f"a storage is called {cut_repr(self.key)}, not by a number")
        if not _is_count(self.count):
            raise ValueError(f"storage {self.key} says it holds {cut_repr(self.count)} numbers")

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return self.count * item_size(_STORAGES[self.kind])

    def decode(self, data: Any, order: str) -> np.ndarray:
        """Return its numbers; `order` is `<` or `>`, as in NumPy.

        Raises:
            ValueError: there are more or fewer bytes than it says.
        """
        if len(data) != self.size:
            raise ValueError(
                f"storage {self.key}: expected {self.size} bytes; received: {len(data)}"
            )
        return decoded(data, _STORAGES[self.kind], order)


@dataclasses.dataclass(frozen=True)
class View(_Final):
    """A tensor: a window on a storage, checked not to look beside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.storage, Storage):
            raise ValueError("a tensor without a storage")
        numbers = (self.offset, *self.shape, *self.strides)
        shown = f"a tensor of shape {cut_repr(self.shape)}, strides {cut_repr(self.strides)}"
        if not all(map(_is_count, numbers)) or len(self.shape) != len(self.strides):
            raise ValueError(f"{shown}, offset {cut_repr(self.offset)}")
        size = math.prod(self.shape)
        reach = sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        # A stride of 0 would blow a few bytes up to any size; no weight is stored like that.
        if size and (size > self.storage.count or self.offset + reach >= self.storage.count):
            raise ValueError(f"{shown} reaches beyond its storage of {self.storage.count} numbers")

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Return the tensor, given its storage's numbers."""
        if len(values) != self.storage.count:
            raise ValueError(f"storage {self.storage.key} is not as long as its tensors say")
        if not math.prod(self.shape):
            return np.zeros(self.shape, values.dtype)
        steps = [step * values.itemsize for step in self.strides]
        window = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
        return np.ascontiguousarray(window).reshape(self.shape)


def decoded(data: Any, kind: str, order: str = "<") -> np.ndarray:
    """Return raw bytes as numbers; NumPy has no bfloat16, whose bits are a float32's upper half."""
    if kind != _BFLOAT16:
        values = np.frombuffer(data, np.dtype(order + kind))
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    upper = np.frombuffer(data, np.dtype(order + "u2")).astype(np.uint32)
    return (upper << 16).view(np.float32)


def item_size(kind: str) -> int:
    """Return the bytes a number takes."""
    return 2 if kind == _BFLOAT16 else np.dtype(kind).itemsize


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0
