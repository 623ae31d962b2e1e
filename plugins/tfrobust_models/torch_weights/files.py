"""`.pth` and `.safetensors` files: what is in them, by name.

`torch.save` has written two formats: since 1.6 a zip archive with one pickle and a member a
storage, before that a row of pickles with the storages behind them. A file is known by its first
bytes, not by its name (the Places365 networks are called `.pth.tar` but are not tar files).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from reprlib import repr as cut_repr
from typing import Any

import numpy as np
import safetensors

from tfrobust.errors import DataError, one_line, system_cause
from tfrobust.files.reading import UnreadableError, read_bytes
from tfrobust_models.torch_weights.pickles import UnsafePickleError, unpickle
from tfrobust_models.torch_weights.tensors import Storage, View, decoded

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what the older format begins with
_SAFETENSORS = {
    "F64": "f8",
    "F32": "f4",
    "F16": "f2",
    "BF16": "bfloat16",
    "I64": "i8",
    "I32": "i4",
    "I16": "i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
_LARGEST = 16 * 10**9  # bytes: a file is held in memory
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which training scripts store it
_Values = Callable[[Storage], np.ndarray]


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict by name, without PyTorch and without running code.

    A checkpoint that holds the state dict under `state_dict` is opened; the prefix `module.` of
    networks trained on several GPUs is dropped.

    Args:
        path: written by `torch.save`, in either of its formats, or a safetensors file.

    Raises:
        StoreError: it is no file.
        DataError: missing, damaged, no state dict, or a pickle that wants to run code.

    Example:
        >>> read_state_dict(Path("resnet18.pth"))["conv1.weight"].shape
        (64, 3, 7, 7)
    """
    try:
        data = read_bytes(path, _LARGEST)
    except (OSError, UnreadableError) as error:
        raise DataError(f"{path}: {system_cause(error)}") from error
    try:
        return _without_prefix(_reader(data)(data))
    except UnsafePickleError as error:
        raise DataError(
            f"{path}: {error}, which no state dict needs; nothing of it was run, "
            "do not open this file with anything else"
        ) from error
    except Exception as error:  # damaged files break pickle, zipfile and NumPy in every way
        raise DataError(f"{path}: cannot be read as a state dict ({one_line(error)})") from error


def _reader(data: bytes) -> Callable[[bytes], dict[str, np.ndarray]]:
    if data[:4] == b"PK\x03\x04":
        return _read_zip
    if data[8:9] == b"{":  # after the length of a header of JSON
        return _read_safetensors
    if data[:1] == b"\x80":
        return _read_legacy
    raise ValueError("expected a .pth or .safetensors file")


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    tensors = {}
    for name, tensor in safetensors.deserialize(data):
        kind, shape = tensor["dtype"], tensor["shape"]
        if kind not in _SAFETENSORS:
            raise ValueError(f"{name} is of type {kind}")
        tensors[name] = decoded(tensor["data"], _SAFETENSORS[kind]).reshape(shape)
    return tensors


def _read_zip(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # PyTorch stores without compression: what claims to be larger than the file is a bomb.
        if sum(member.file_size for member in members.values()) > len(data):
            raise ValueError("its members are larger than the file")
        roots = [name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError(f"expected one data.pkl; received: {len(roots)}")
        root = roots[0]
        order = archive.read(root + "byteorder") if root + "byteorder" in members else b"little"

        def values(storage: Storage) -> np.ndarray:
            name = f"{root}data/{storage.key}"
            if name not in members:
                raise ValueError(f"storage {storage.key} is missing")
            return storage.decode(archive.read(name), ">" if order.strip() == b"big" else "<")

        content, _ = unpickle(BytesIO(archive.read(root + "data.pkl")))
        return _tensors(content, values)


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    file = BytesIO(data)
    if unpickle(file)[0] != _MAGIC or unpickle(file)[0] != _PROTOCOL:
        raise ValueError("a pickle, but none that torch.save wrote")
    little = unpickle(file)[0].get("little_endian", True)
    (content, storages), (keys, _) = unpickle(file), unpickle(file)
    places: dict[str, int] = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little" if little else "big", signed=True)
        if key not in storages or storages[key].count != count:
            raise ValueError(f"storage {key!r} is not as long as the tensors say")
        places[key] = file.tell()
        file.seek(storages[key].size, 1)

    def values(storage: Storage) -> np.ndarray:
        if storage.key not in places:
            raise ValueError(f"storage {storage.key} is missing")
        start = places[storage.key]
        stored = memoryview(data)[start : start + storage.size]
        return storage.decode(stored, "<" if little else ">")

    return _tensors(content, values)


def _tensors(content: Any, values: _Values) -> dict[str, np.ndarray]:
    return {name: view.cut(values(view.storage)) for name, view in _views(content).items()}


def _views(content: Any) -> dict[str, View]:
    """Return the tensors of a state dict, or of the checkpoint around it.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(content, dict):
        content = next(
            (content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content
        )
    if not isinstance(content, dict) or not content:
        raise ValueError(f"expected a dict of tensors; received: {type(content).__name__}")
    for name, value in dict.items(content):
        if not isinstance(name, str) or not isinstance(value, View):
            raise ValueError(
                "expected a dict of tensors; "
                f"received: {cut_repr(name)} of {type(value).__name__}; "
                "save the network's state_dict() alone"
            )
    return dict(dict.items(content))


def _without_prefix(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    return {name.removeprefix(prefix): value for name, value in state.items()}
