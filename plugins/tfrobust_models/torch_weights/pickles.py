"""The pickle inside a `.pth` file, read so that it cannot run anything.

A pickle is a program: loading one calls whatever it names. The reader here knows the few names of
which PyTorch makes tensors and answers each with a function of ours that checks and records;
every other name is refused when it is met, before it could be looked up or called. What a pickle
can reach is therefore `OrderedDict`, strings, numbers, tuples, lists and dicts.
"""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from io import BytesIO
from reprlib import repr as cut_repr
from typing import Any

from tfrobust_models.torch_weights.nesting import check_tuples
from tfrobust_models.torch_weights.tensors import STORAGE_NAMES, Storage, View


class UnsafePickleError(ValueError):
    """A pickle names something that no tensor needs."""


def unpickle(file: BytesIO) -> tuple[Any, dict[str, Storage]]:
    """Read the pickle at the file's position.

    Returns:
        What it holds, tensors as `View`, and every storage it mentions by its key.

    Raises:
        UnsafePickleError: it names anything but what tensors are made of.
        Exception: a damaged pickle raises nearly anything.
    """
    start = file.tell()
    _check_memo(file)
    file.seek(start)
    check_tuples(file)
    file.seek(start)
    reader = _TensorUnpickler(file)
    return reader.load(), reader.storages


def _check_memo(file: BytesIO) -> None:
    """Refuse memo slots beyond the number of opcodes: reserving them takes gigabytes.

    Raises:
        ValueError: says so.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in {"PUT", "LONG_BINPUT"} and not 0 <= int(argument or 0) <= count:
            raise ValueError(f"it reserves {argument} places it cannot need")


class _RebuildTensor:
    """Represents PyTorch's function; unlike one of ours it has no attribute that could be set."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
        return View(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    """Take the state, and ignore it."""

    __slots__ = ()

    def __call__(self, data: Any, *_: Any) -> View:
        if not isinstance(data, View):
            raise ValueError("a parameter without a tensor")
        return data


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{(module, name): name for module in ("torch", "torch.cuda") for name in STORAGE_NAMES},
}


class _TensorUnpickler(pickle.Unpickler):
    """Reads tensors and nothing else."""

    def __init__(self, file: BytesIO) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the older files
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the substitute for `module.name`, which is never imported."""
        if (module, name) not in _KNOWN:
            raise UnsafePickleError(f"it wants to call {module}.{name}")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """Return the storage a tensor refers to."""
        tag, kind, key, _device, count, *view = pid
        if tag not in {"storage", b"storage"} or view not in ([], [None]):
            raise ValueError(f"it refers to something that is no storage: {cut_repr(tag)}")
        storage = Storage(kind, key, count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {key} is of two sizes or types")
        return storage
