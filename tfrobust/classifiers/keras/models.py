"""What the core must know of a Keras model, of either generation (Keras 3 and `tf_keras`)."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.custom_objects import custom_objects
from tfrobust.classifiers.keras.allowed import is_keras_own
from tfrobust.classifiers.keras.files import check_keras_file
from tfrobust.errors import ClassifierError, UsageError, one_line
from tfrobust.model import generation_of
from tfrobust.types import KerasModel


def check_backend() -> None:
    """Refuse Keras 3 on another backend than TensorFlow; settle on TensorFlow where none is set.

    Raises:
        UsageError: `KERAS_BACKEND` names another, or Keras runs on another already.
    """
    running = sys.modules.get("keras")
    chosen = running.config.backend() if running else os.environ.get("KERAS_BACKEND", "")
    if chosen not in ("", "tensorflow"):
        raise UsageError(
            f"KERAS_BACKEND: expected tensorflow; received: {chosen!r}; unset it, or set "
            "KERAS_BACKEND=tensorflow before Python starts"
        )
    if not running:  # else ~/.keras/keras.json decides
        os.environ["KERAS_BACKEND"] = "tensorflow"


def keras_of(model: KerasModel) -> ModuleType:
    """Return the Keras generation that `model` belongs to: the module `keras` or `tf_keras`."""
    if generation_of(model) == "tf_keras":
        import tf_keras

        return tf_keras
    check_backend()
    import keras

    return keras


def raw_variables(model_or_optimizer: Any) -> list[Any]:
    """Return the `tf.Variable`s under a model or optimizer, in a fixed order.

    What random layers draw from counts too.
    """
    variables = model_or_optimizer.variables
    listed = [raw(variable) for variable in (variables() if callable(variables) else variables)]
    known = {id(variable) for variable in listed}
    return listed + [state for state in random_state(model_or_optimizer) if id(state) not in known]


def random_state(model: KerasModel) -> list[Any]:
    """Return the variables that a model's random layers draw from.

    Keras 3 lists its seed generators among the variables. Keras 2 hides the generators of layers
    made with `rng_type="stateful"`; its other random layers have no state that can be kept. A
    quantizer or layer of ours has an attribute `random_state`; see `expected_draws` too.
    """
    if not hasattr(model, "_flatten_layers"):
        return []
    states: dict[int, Any] = {}
    for layer in model._flatten_layers():
        generator = getattr(getattr(layer, "_random_generator", None), "_generator", None)
        for state in (getattr(generator, "state", None), getattr(layer, "random_state", None)):
            if isinstance(state, tf.Variable):
                states[id(state)] = state
    return list(states.values())


@contextlib.contextmanager
def expected_draws(model: KerasModel) -> Iterator[None]:
    """Let quantizers and layers of ours that draw at inference give their mean instead.

    They have an attribute `gives_mean`, which is read where they are called or traced.
    """
    drawing = [layer for layer in model._flatten_layers() if hasattr(layer, "gives_mean")]
    before = [layer.gives_mean for layer in drawing]
    for layer in drawing:
        layer.gives_mean = True
    try:
        yield
    finally:
        for layer, old in zip(drawing, before, strict=True):
            layer.gives_mean = old


def raw(variable: Any) -> Any:
    """Return the `tf.Variable` that gradient tapes watch; Keras 3 wraps it."""
    return variable.value if type(variable).__module__.startswith("keras.") else variable


def has_finite_weights(model: KerasModel) -> bool:
    """Tell whether no weight is NaN or infinite."""
    return all(np.isfinite(weight).all() for weight in model.get_weights())


def load_keras_file(path: Path, modules: Sequence[str] = ()) -> Any:
    """Load a `.keras` or `.h5` file, of either generation, once its configuration was looked at.

    Args:
        path: of the file.
        modules: the user's own, whose classes and functions it may name in addition to Keras's
            and the plugins'. Their code is run.

    Raises:
        ClassifierError: it is damaged, or wants to run code of its own.
    """
    check_backend()
    own = custom_objects(modules)
    generation = check_keras_file(path, modules)
    keras = importlib.import_module(generation)
    try:
        return keras.models.load_model(path, custom_objects=own, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises anything, from TypeError to h5py's OSError
        if unknown := _UNKNOWN.search(str(error)):
            name = unknown.lastgroup
            if name and path.suffix != ".keras" and is_keras_own(unknown[name], generation):
                raise ClassifierError(
                    f"{path}: holds {unknown[name]!r} of Keras's own, which {path.suffix} files "
                    f"cannot bring back; save it as .keras: model.save('{path.stem}.keras')"
                ) from error
            what = f"its class {unknown[name]!r}" if name else "a class that it names"
            raise ClassifierError(
                f"{path}: Keras does not know {what}; name the module that defines it: "
                "--custom-objects MODULE (its code is run)"
            ) from error
        raise ClassifierError(f"{path}: Keras refuses it: {one_line(error, 160)}") from error


_UNKNOWN = re.compile(  # Keras 3, then Keras 2 in a functional and in a sequential model
    r"Could not locate (?:class|function) '(?P<locate>[^']+)'"
    r"|Unknown [\w ]+: '?(?P<unknown>[\w>.]+)'?"
    r"|layer=(?P<added>\w+) of type <class 'str'>|'str' object is not callable"
)
