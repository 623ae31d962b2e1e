"""LiteRT (TensorFlow Lite) files: converted from a SavedModel, quantized on request, and run.

Post-training quantization makes weights and activations int8, with ranges that sample images show;
inputs and outputs stay float32.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import Images


def lite(folder: Path, samples: Images | None = None) -> bytes:
    """Convert a SavedModel's `serving_default` to the content of a LiteRT file.

    Args:
        folder: the SavedModel, with one input, images, and one output.
        samples: float32 `(n, height, width, channels)`: images that show the ranges of its
            activations, for 8 bits; none: float32 as it is.

    Raises:
        ClassifierError: LiteRT lacks an operation.

    Example:
        >>> len(lite(Path("served/d1-b2/1"), images[:200]))
        18264
    """
    try:
        with silent():
            content: bytes = _converter(folder, samples).convert()
    except Exception as error:  # the converter raises whatever its parts raise
        missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error))))
        kernels = f"LiteRT has no kernel of these types for {', '.join(missing)}"
        why = kernels if missing else one_line(error)
        raise ClassifierError(
            f"format: cannot be turned into a TFLite file ({why}); export a SavedModel instead"
        ) from error
    return content


def _converter(folder: Path, samples: Images | None) -> Any:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return converter


class LiteModel:
    """A LiteRT file, run by its interpreter.

    Args:
        content: of the file.
        threads: of the interpreter.

    Example:
        >>> LiteModel(lite(folder))(images).shape
        (360, 10)
    """

    def __init__(self, content: bytes, threads: int = 1) -> None:
        self.megabytes = len(content) / 1e6
        with warnings.catch_warnings(), silent():
            warnings.simplefilter("ignore", UserWarning)  # it is to move to a package of its own
            self._interpreter: Any = tf.lite.Interpreter(model_content=content, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] | None = None

    def __call__(self, images: Images) -> np.ndarray:
        """Return the outputs of a batch of images."""
        images = np.asarray(images, np.float32)
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            with silent():
                self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        outputs: np.ndarray = self._interpreter.get_tensor(self._output)
        return outputs


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Hide what native code writes to stderr."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(nowhere)
        os.close(stderr)
