"""Requests that TensorFlow Serving replays when it loads a version, before it serves it.

The first request of a signature and a batch size is slow: TensorFlow prepares its kernels then.
`assets.extra/tf_serving_warmup_requests` holds TFRecords of `PredictionLog`, one for each
signature and batch size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tfrobust.errors import UsageError
from tfrobust.files.reading import read_bytes
from tfrobust.store.cards import CARD
from tfrobust.types import ImageShape

WARMUP = CARD.with_name("tf_serving_warmup_requests")
MOST_RECORDS = 1000  # that TensorFlow Serving reads
_LARGEST = 2**31 - 1  # bytes of a protocol buffer
_CLASSIFY = "tensorflow/serving/classify"
_BYTES = "image_bytes"


def check_protos() -> None:
    """Refuse where the package that defines the requests is not installed.

    Raises:
        UsageError: says how to install it.
    """
    try:
        import tensorflow_serving.apis  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "warmup: needs tensorflow-serving-api; install it: pip install 'tfrobust[serving]'"
        ) from error


def write_warmup(
    folder: Path, name: str, image_shape: ImageShape, batch_sizes: Sequence[int]
) -> int:
    """Write the requests of a SavedModel, each of noise that looks like images.

    Args:
        folder: of the SavedModel.
        name: by which it is served.
        image_shape: of its images.
        batch_sizes: of the requests of each signature.

    Returns:
        How many were written.

    Raises:
        UsageError: `tensorflow-serving-api` is not installed.

    Example:
        >>> write_warmup(Path("served/digits/1"), "digits", (8, 8, 1), [1, 8])
        4
    """
    check_protos()
    requests = list(_requests(folder, name, image_shape, batch_sizes))
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as file:
        for request in requests:
            file.write(request.SerializeToString(deterministic=True))
    return len(requests)


def signatures_of(folder: Path) -> dict[str, Any]:
    """Return the signatures of a SavedModel as `SignatureDef`, by name; nothing of it is run."""
    model = saved_model_pb2.SavedModel.FromString(read_bytes(folder / "saved_model.pb", _LARGEST))
    signatures = model.meta_graphs[0].signature_def
    return {name: signatures[name] for name in sorted(signatures) if not name.startswith("__")}


def _requests(
    folder: Path, name: str, image_shape: ImageShape, batch_sizes: Sequence[int]
) -> Iterator[Any]:
    from tensorflow_serving.apis import prediction_log_pb2

    draw = np.random.default_rng(0)
    for signature, definition in signatures_of(folder).items():
        for batch in batch_sizes:
            images = draw.uniform(size=(batch, *image_shape)).astype(np.float32)
            log = prediction_log_pb2.PredictionLog()
            if definition.method_name == _CLASSIFY:
                request = log.classify_log.request
                by_file = _BYTES in _features(folder)
                request.input.example_list.examples.extend(
                    _example(image, by_file=by_file) for image in images
                )
            else:
                request = log.predict_log.request
                for key, tensor in definition.inputs.items():
                    value = _value(key, tensor.dtype, images)
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(value, tensor.dtype))
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            yield log


def _value(key: str, dtype: int, images: np.ndarray) -> Any:
    """Return what an input of a signature may be sent for some images."""
    if dtype == tf.string.as_datatype_enum:
        return [_file(image) for image in images]
    if dtype == tf.uint8.as_datatype_enum:
        return np.round(images * 255).astype(np.uint8)
    return np.arange(len(images)) if key == "seed" else images


def _features(folder: Path) -> set[str]:
    """Return the inputs of all signatures: an example has a file where another one takes it."""
    return {key for definition in signatures_of(folder).values() for key in definition.inputs}


def _example(image: np.ndarray, *, by_file: bool) -> tf.train.Example:
    feature = (
        tf.train.Feature(bytes_list=tf.train.BytesList(value=[_file(image)]))
        if by_file
        else tf.train.Feature(float_list=tf.train.FloatList(value=image.ravel()))
    )
    named = {_BYTES if by_file else "images": feature}
    return tf.train.Example(features=tf.train.Features(feature=named))


def _file(image: np.ndarray) -> bytes:
    file: bytes = tf.io.encode_jpeg(np.round(image * 255).astype(np.uint8)).numpy()
    return file
