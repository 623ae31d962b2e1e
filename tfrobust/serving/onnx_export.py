"""A classifier, or a defence before it, as an ONNX file that onnxruntime has been asked about.

tf2onnx converts the frozen graph. The file is written only if onnxruntime answers as TensorFlow
does: max |z' − z| ≤ 10⁻⁴ · max(1, max |z|) for every output, on 64 images.
"""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, UsageError, one_line
from tfrobust.files.atomic import atomic_folder
from tfrobust.serving.litert import silent
from tfrobust.store.cards import Card, write_card, write_labels
from tfrobust.store.layout import check_place
from tfrobust.types import Images, ImageShape

FILE = "model.onnx"
CHECKED = 64  # images
_OPSET = 18
_TOLERANCE = 1e-4
Outputs = Callable[[Images], dict[str, Any]]


def check_onnx() -> None:
    """Refuse where the packages that convert and check are not installed.

    Raises:
        UsageError: says how to install them.
    """
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"format onnx: needs tf2onnx and onnxruntime ({one_line(error)}); install them: pip "
            "install 'tfrobust[onnx]'"
        ) from error


def export_onnx(outputs: Outputs, folder: Path | str, card: Card, images: Images) -> Path:
    """Write `model.onnx` into a new version folder, once onnxruntime answers as TensorFlow does.

    Args:
        outputs: images → what is served, by name.
        folder: the version folder to make.
        card: recorded beside it.
        images: float32 `(n, height, width, channels)` to compare the answers on, 1 or more.

    Returns:
        The file.

    Raises:
        ClassifierError: ONNX lacks an operation, or the answers differ.
        StoreError: the folder exists already, or the disk refuses.
        UsageError: tf2onnx or onnxruntime is not installed.

    Example:
        >>> export_onnx(classifier.outputs, "served/onnx/1", card_of(classifier), images[:64])
        PosixPath('served/onnx/1/model.onnx')
    """
    folder = Path(folder)
    check_onnx()
    check_place(folder, serves=card.serves, file=FILE)
    content = onnx_file(outputs, card.image_shape)
    _check_answers(content, outputs, images)
    with atomic_folder(folder, new=True) as temporary:
        (temporary / FILE).write_bytes(content)
        write_card(temporary, card)
        write_labels(temporary, card.class_names)
    return folder / FILE


def onnx_file(outputs: Outputs, image_shape: ImageShape) -> bytes:
    """Return a function of images as the content of an ONNX file.

    Raises:
        ClassifierError: ONNX lacks an operation.
    """
    import tf2onnx

    spec = [tf.TensorSpec((None, *image_shape), tf.float32, name="images")]
    try:
        with _quiet() as lines:
            function = tf.function(outputs, input_signature=spec, autograph=False)
            model, _ = tf2onnx.convert.from_function(function, input_signature=spec, opset=_OPSET)
    except Exception as error:  # the converter raises whatever its parts raise
        raise ClassifierError(
            f"format onnx: cannot be converted ({one_line(error)}); export a SavedModel instead"
        ) from error
    if missing := sorted(set(re.findall(r"Tensorflow op \[.*?: (\w+)\] is not", "\n".join(lines)))):
        raise ClassifierError(
            f"format onnx: ONNX has no {', '.join(missing)}; export a SavedModel instead"
        )
    content: bytes = model.SerializeToString()
    return content


def _check_answers(content: bytes, outputs: Outputs, images: Images) -> None:
    """Compare the answers of onnxruntime with TensorFlow's.

    Raises:
        ClassifierError: it cannot run the file, or answers otherwise.
    """
    import onnxruntime

    expected = outputs(tf.constant(images))
    names = list(expected)
    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        answers = session.run(names, {"images": images})
    except Exception as error:  # onnxruntime has a dozen kinds
        raise ClassifierError(
            f"format onnx: onnxruntime cannot run the file ({one_line(error)}); export a "
            "SavedModel instead"
        ) from error
    for name, answer in zip(names, answers, strict=True):
        right = np.asarray(expected[name], np.float64)
        missed = float(np.abs(answer - right).max())
        allowed = _TOLERANCE * max(1.0, float(np.abs(right).max()))
        if not missed <= allowed:
            raise ClassifierError(
                f"format onnx: onnxruntime answers otherwise: {name} differs by {missed:.2g}; "
                f"expected at most {allowed:.2g}; export a SavedModel instead"
            )


@contextlib.contextmanager
def _quiet() -> Iterator[list[str]]:
    """Collect what the converter logs, and hide what it and native code print."""
    lines: list[str] = []

    class _Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    log, collecting = logging.getLogger("tf2onnx"), _Collecting()
    level, before, spread = log.level, log.handlers[:], log.propagate
    log.handlers, log.propagate = [collecting], False
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), silent():
            warnings.simplefilter("ignore")
            yield lines
    finally:
        log.handlers, log.propagate = before, spread
        log.setLevel(level)
