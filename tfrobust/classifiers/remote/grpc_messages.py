"""What the gRPC protocol's messages hold: tensors in both directions, versions, waits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.remote.protocol import MOST_BYTES, TensorInfo
from tfrobust.errors import EndpointError, one_line


def tensors_of(described: Any) -> dict[str, TensorInfo]:
    """Return the tensors of a signature as its metadata describes them."""
    from tensorflow.core.framework import types_pb2

    return {
        one_line(name, 200): TensorInfo(
            types_pb2.DataType.Name(tensor.dtype),
            None
            if tensor.tensor_shape.unknown_rank
            else tuple(dim.size for dim in tensor.tensor_shape.dim),
        )
        for name, tensor in described.items()
    }


def fill(tensor: Any, images: np.ndarray) -> None:
    """Write images into a message: numbers as their bytes, files one by one."""
    tensor.dtype = tf.as_dtype(images.dtype).as_datatype_enum
    for size in images.shape:
        tensor.tensor_shape.dim.add(size=size)
    if images.dtype == object:
        tensor.string_val.extend(images)
    else:
        tensor.tensor_content = np.ascontiguousarray(images).tobytes()


def add_feature(example: Any, name: str, image: Any) -> None:
    """Write an image into a `tf.Example`: a file as bytes, numbers pixel by pixel."""
    feature = example.features.feature[name]
    if isinstance(image, bytes):
        feature.bytes_list.value.append(image)
    else:
        feature.float_list.value.extend(image.ravel())


def classes_of(result: Any) -> dict[str, np.ndarray]:
    """Return the pairs of the Classify API as two arrays, `classes` and `scores`.

    Raises:
        EndpointError: rows differ in length.
    """
    rows = result.classifications
    if len({len(row.classes) for row in rows}) > 1:
        raise EndpointError("the answer names different numbers of classes")
    return {
        "classes": np.array([[pair.label for pair in row.classes] for row in rows], object),
        "scores": np.array([[pair.score for pair in row.classes] for row in rows], np.float32),
    }


def version_of(spec: Any) -> int | None:
    """Return the version that a message names; `None`: none."""
    return int(spec.version.value) if spec.HasField("version") else None


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of an answer as arrays, each of them read when it is asked for.

    Args:
        tensors: messages by name.

    Raises:
        EndpointError: one that is asked for is no tensor; see `array_of`.
    """

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one of them; a message would make one of any name."""
        if name not in self._tensors:
            raise KeyError(name)
        return array_of(name, self._tensors[name])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._tensors)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._tensors)


def array_of(name: str, tensor: Any) -> np.ndarray:
    """Return a tensor of an answer; its shape may promise no more than the bytes of an answer.

    Raises:
        EndpointError: it does, or is no tensor.
    """
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if min(sizes, default=0) < 0 or math.prod(sizes) * 4 > MOST_BYTES:
        raise EndpointError(f"the output {one_line(name, 80)!r} has the shape {sizes}: too large")
    try:
        return tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise EndpointError(
            f"the output {one_line(name, 80)!r} is no tensor ({one_line(error, 80)})"
        ) from error


def pushback(error: Any) -> float | None:
    """Return the seconds that a server asks to wait, as gRPC's retries or a proxy spell it."""
    for name, value in error.trailing_metadata() or ():
        scale = {"grpc-retry-pushback-ms": 1e-3, "retry-after": 1.0}.get(name)
        if scale is not None:
            try:
                return max(0.0, float(value) * scale)
            except ValueError:
                return None
    return None
