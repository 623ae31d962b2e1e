"""What the core must know of a Keras model, of either generation (Keras 3 and `tf_keras`)."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.errors import ClassifierError, one_line
from tfrobust.keras_files import check_keras_file
from tfrobust.types import ImageShape


def keras_of(model: Any) -> ModuleType:
    """Return the Keras generation that `model` belongs to: the module `keras` or `tf_keras`."""
    if any(cls.__module__.split(".")[0] == "tf_keras" for cls in type(model).__mro__):
        import tf_keras

        return tf_keras
    import keras

    return keras


def raw_variables(model_or_optimizer: Any) -> list[Any]:
    """Return the `tf.Variable`s under a model or optimizer, in a fixed order.

    What random layers draw from counts too.
    """
    variables = model_or_optimizer.variables
    found = [raw(each) for each in (variables() if callable(variables) else variables)]
    known = {id(each) for each in found}
    return found + [each for each in random_state(model_or_optimizer) if id(each) not in known]


def random_state(model: Any) -> list[Any]:
    """Return the variables that a model's random layers draw from.

    Keras 3 lists its seed generators among the variables. Keras 2 hides the generators of layers
    made with `rng_type="stateful"`; its other random layers have no state that can be kept. A
    quantizer or layer of ours has an attribute `random_state`; see `expected_draws` too.
    """
    if not hasattr(model, "_flatten_layers"):
        return []
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        for state in (getattr(generator, "state", None), getattr(layer, "random_state", None)):
            if isinstance(state, tf.Variable):
                found[id(state)] = state
    return list(found.values())


@contextlib.contextmanager
def expected_draws(model: Any) -> Iterator[None]:
    """Let quantizers and layers of ours that draw at inference give their mean instead.

    They have an attribute `gives_mean`, which is read where they are called or traced.
    """
    drawing = [each for each in model._flatten_layers() if hasattr(each, "gives_mean")]
    before = [each.gives_mean for each in drawing]
    for each in drawing:
        each.gives_mean = True
    try:
        yield
    finally:
        for each, old in zip(drawing, before, strict=True):
            each.gives_mean = old


def raw(variable: Any) -> Any:
    """Return the `tf.Variable` that gradient tapes watch; Keras 3 wraps it."""
    return variable.value if type(variable).__module__.startswith("keras.") else variable


def has_finite_weights(model: Any) -> bool:
    """Tell whether no weight is NaN or infinite."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())


def check_structure(model: Any) -> tuple[ImageShape, int]:
    """Return the image shape and class count of a model that can serve as a classifier.

    Raises:
        ClassifierError: several inputs or outputs, sizes left open, or a softmax at the end.
    """
    inputs, outputs = _shape(model, "input_shape"), _shape(model, "output_shape")
    if not (isinstance(inputs, tuple) and len(inputs) == 4 and None not in inputs[1:]):
        raise ClassifierError(
            f"model input: expected (batch, height, width, channels) of fixed size; "
            f"received: {inputs}"
        )
    if not (isinstance(outputs, tuple) and len(outputs) == 2 and (outputs[1] or 0) >= 2):
        raise ClassifierError(
            f"model output: expected (batch, classes) with 2 classes or more; received: {outputs}"
        )
    if ends_in_softmax(model):
        raise ClassifierError(
            "the model ends in a softmax, which weakens every attack; build its last layer with "
            "activation=None, or convert it: --strip-softmax (tfrobust.load(…, strip_softmax=True))"
        )
    return inputs[1:], outputs[1]


def _shape(model: Any, attribute: str) -> Any:
    try:
        return getattr(model, attribute)
    except AttributeError as error:
        raise ClassifierError(
            "the model was never built; call it once or give it an Input"
        ) from error


def ends_in_softmax(model: Any) -> bool:
    """Tell whether the last layer is a softmax, also inside nested models."""
    last = model.layers[-1] if getattr(model, "layers", None) else model
    if last is not model and getattr(last, "layers", None):
        return ends_in_softmax(last)
    activation = getattr(getattr(last, "activation", None), "__name__", "")
    return type(last).__name__ == "Softmax" or activation == "softmax"


def strip_softmax(model: Any) -> Any:
    """Return a copy of `model` that ends in the logits its softmax was fed.

    Raises:
        ClassifierError: the softmax sits inside a nested model.
    """
    keras = keras_of(model)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    last = clone.layers[-1]
    if getattr(last, "layers", None):
        raise ClassifierError(
            "the softmax sits inside a nested model; build that model's last layer with "
            "activation=None"
        )
    if type(last).__name__ in ("Softmax", "Activation"):
        return keras.Model(clone.inputs, last.input)
    last.activation = keras.activations.linear
    return clone


def load_keras_file(path: Path, extra: Sequence[str] = ()) -> Any:
    """Load a `.keras` or `.h5` file, of either generation, once its configuration was looked at.

    Args:
        path: of the file.
        extra: modules whose classes and functions it may name besides Keras's and the plugins'.

    Raises:
        ClassifierError: it is damaged, or wants to run code of its own.
    """
    keras = importlib.import_module(check_keras_file(path, extra))
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises anything, from TypeError to h5py's OSError
        raise ClassifierError(f"{path}: Keras refuses it: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    text = str(error)
    if "safe_mode" in text or "unsafe" in text or "Lambda" in text:
        return "it wants to run code stored in the file (a Lambda layer), which is never allowed"
    return one_line(error, 160)
