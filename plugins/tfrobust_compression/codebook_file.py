"""A compressed network's weights as codebooks and packed indices, in one `.npz`.

Each kernel takes as many bits per weight as its codebook needs; all other weights are kept as
they are. `Shared.bits` counts what Huffman's code would take of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import ClassifierError, StoreError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.types import KerasModel
from tfrobust_compression.deep_compression import compression_of
from tfrobust_compression.kernels import kernels_of, weights_of
from tfrobust_compression.shared import Shared


def write_codebooks(path: Path | str, model: KerasModel) -> None:
    """Write the weights of a compressed Keras model.

    Raises:
        StoreError: the disk refuses.
    """
    arrays = {f"weight/{k}": np.asarray(weight) for k, weight in enumerate(_others(model))}
    for k, code in enumerate(compression_of(model).values()):
        parts = {"codebook": code.codebook, "index": _packed(code), "shape": code.index.shape}
        arrays |= {f"{name}/{k}": np.asarray(part) for name, part in parts.items()}
    write_arrays(Path(path), arrays)


def read_codebooks(path: Path | str, model: KerasModel) -> None:
    """Give a Keras model of the same architecture the weights of a file, to the last bit.

    Raises:
        StoreError: the file is missing or damaged.
        ClassifierError: it was written for another architecture.
    """
    path = Path(path)
    arrays, others, kernels = read_arrays(path), _others(model), kernels_of(model).values()
    shapes = {f"weight/{k}": tuple(weight.shape) for k, weight in enumerate(others)}
    coded = {f"{what}/{k}" for k in range(len(kernels)) for what in ("codebook", "index")}
    stated = {f"shape/{k}": tuple(kernel.shape) for k, kernel in enumerate(kernels)}
    declared = set(arrays) & set(stated)  # files of earlier versions do not tell
    if (
        set(arrays) - declared != coded | set(shapes)
        or any(arrays[name].shape != shape for name, shape in shapes.items())
        or any(not np.array_equal(arrays[name], stated[name]) for name in declared)
    ):
        raise ClassifierError(f"{path}: was written for another network than {model.name}")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise StoreError(f"{path}: {name}: expected finite numbers; compress the network again")
    codes = [
        _unpacked(path, arrays[f"codebook/{k}"], arrays[f"index/{k}"], kernel.shape)
        for k, kernel in enumerate(kernels)
    ]
    for kernel, weights in zip(kernels, codes, strict=True):
        kernel.assign(weights)
    for k, variable in enumerate(others):
        variable.assign(arrays[f"weight/{k}"])


def _others(model: KerasModel) -> list[Any]:
    """Return the weights that are no kernels, in the order of the layers."""
    kernels = {id(kernel) for kernel in kernels_of(model).values()}
    return [variable for variable in weights_of(model) if id(variable) not in kernels]


def _width(codebook: np.ndarray) -> int:
    return max(1, int(len(codebook) - 1).bit_length())


def _packed(code: Shared) -> np.ndarray:
    places = np.arange(_width(code.codebook))
    return np.packbits((code.index.ravel()[:, None] >> places) & 1)


def _unpacked(path: Path, codebook: np.ndarray, packed: np.ndarray, shape: Any) -> np.ndarray:
    damaged = StoreError(f"{path}: is damaged; compress the network again")
    if codebook.ndim != 1 or packed.ndim != 1 or not len(codebook):
        raise damaged
    width, count = _width(codebook), int(np.prod(shape))
    if packed.dtype != np.uint8 or len(packed) != -(-count * width // 8):
        raise damaged
    bits = np.unpackbits(packed, count=count * width).reshape(count, width)
    index = bits @ (1 << np.arange(width))
    if index.max() >= len(codebook):
        raise damaged
    return codebook[index].reshape(shape)
