"""Are these logits? Asked of a Keras model's graph; `bounded` asks the values.

A softmax, a sigmoid or another function that bounds the outputs leaves attacks next to no gradient
where the network is sure, and the network looks more robust than it is. What stands before that
function are the logits: `to_logits` returns a model that ends in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.bounded import SATURATED, TINY, NoLogitsError, logarithms, looks_bounded
from tfrobust.classifiers.keras.ending import BOUNDING, LINEAR, Ending, ending, factor_of
from tfrobust.classifiers.keras.forms import check_structure, plain
from tfrobust.classifiers.keras.graph import (
    Call,
    called_on,
    calls,
    has_kernel,
    inlined,
    is_functional,
)
from tfrobust.classifiers.keras.models import keras_of, random_state
from tfrobust.errors import ClassifierError
from tfrobust.types import KerasModel

TWO = "its one output z is judged as two logits, 0 and z"
WAY_OUT = (
    "build its last layer with activation=None, or convert it: --to-logits "
    "(in Python: tfrobust.classifiers.logits.to_logits(model))"
)
_ROUNDING = {"float16": 0.02, "bfloat16": 0.1}


def check_ending(model: KerasModel, num_classes: int) -> bool:
    """Refuse a model whose graph shows that it gives no logits.

    Returns:
        Whether the graph shows that it does; where it does not tell, the values must.

    Raises:
        NoLogitsError: a softmax, a sigmoid or the like at the end; a single output.
    """
    last = ending(model).name
    if num_classes == 1:
        raise NoLogitsError(
            "model output: expected (batch, classes) with 2 classes or more; received: (None, 1); "
            "one number that decides between two classes becomes two logits, 0 and itself: "
            "--to-logits (in Python: tfrobust.classifiers.logits.to_logits(model))"
        )
    if last in BOUNDING:
        raise NoLogitsError(f"the model ends in a {last}, which weakens every attack; {WAY_OUT}")
    return last == LINEAR


def to_logits(model: KerasModel) -> KerasModel:
    """Return a copy of a Keras model that ends in its logits; see `converted`.

    Raises:
        ClassifierError: as `converted`.

    Example:
        >>> KerasClassifier(to_logits(keras.saving.load_model("softmax.keras")))
    """
    return converted(model)[0]


def converted(model: KerasModel) -> tuple[Any, str]:
    """Return a model that ends in logits, and what was done to it; itself if it does already.

    | it ends in | the logits are |
    |---|---|
    | a softmax, a sigmoid or the like, also in a nested model | what that is fed |
    | one number z, or a sigmoid of it | 0 and z |
    | probabilities from elsewhere, such as a mean of softmaxes | their logarithms |

    Args:
        model: of either generation; it stays as it is.

    Raises:
        ClassifierError: something bounds its numbers, which have no common sum, and nothing shows
            which logits they were made of; or its last activation cannot be left out.
    """
    model = plain(model)
    image_shape, num_classes = check_structure(model)
    end, notice = ending(model), ""
    if end.call is not None:
        model = _cut(model)
        notice = f"its last {end.name} is left out"
    elif not end.name:
        kind = looks_bounded(lambda images: model(images, training=False), image_shape)
        if kind in ("sigmoid", SATURATED) or (kind == "softmax" and num_classes == 1):
            raise ClassifierError(
                "the model gives numbers that something bounds, such as to [0, 1], and nothing "
                "shows which logits they were made of; build its last layer with activation=None"
            )
        if kind == "softmax":
            model, notice = _logarithms(model), "its logits are the logarithms of its probabilities"
    if num_classes == 1:
        model = _of_two_classes(model)
        notice = f"{notice}; {TWO}" if notice else TWO
    return model, notice


def _cloned(model: KerasModel) -> KerasModel:
    """Return a copy; the model itself where Keras cannot copy it, as with a layer in two others."""
    try:
        clone = keras_of(model).models.clone_model(model)
        clone.set_weights(model.get_weights())
    except Exception:  # a third-party layer may raise anything
        return model
    return clone


def _cut(model: KerasModel) -> KerasModel:
    """Return a functional model up to what its last activation is fed.

    Raises:
        ClassifierError: the activation cannot be left out, or other outputs would come of it.
    """
    flat = inlined(_cloned(model))
    end = ending(flat)
    call = end.call
    if call is None:
        raise ClassifierError(
            "the model's last activation cannot be left out: it is called as in training; "
            "build its last layer with activation=None"
        )
    fed = _linear_call(call, flat) if has_kernel(call) else call.given[0]
    logits = -fed if end.falls else fed
    for later in reversed(end.after):
        if not factor_of(later):  # a hundred times as large, logits would weaken attacks again
            [logits] = called_on(later, [logits])
    keras = keras_of(model)
    if not _agrees(model, keras.Model(flat.inputs[0], fed), end):
        raise ClassifierError(
            f"the model's last {end.name} cannot be left out: what it is fed could not be told "
            "with certainty; build its last layer with activation=None"
        )
    return keras.Model(flat.inputs[0], logits, name=model.name)


def _linear_call(call: Call, model: KerasModel) -> Any:
    """Return what a layer with a kernel gives without its activation.

    A copy is called: the layer itself may be called elsewhere too, with its activation.
    """
    layer = call.layer
    shared = sum(other.layer is layer for other in calls(model)) > 1
    name = f"{layer.name}_logits" if shared else layer.name
    config = layer.get_config() | {"activation": "linear", "name": name}
    copy = type(layer).from_config(config)
    [fed] = called_on(call, call.given, copy)
    copy.set_weights(layer.get_weights())
    return fed


def _agrees(model: KerasModel, fed: Any, end: Ending) -> bool:
    """Tell whether a model's last activation gives what the model gave, of what it is fed.

    Args:
        model: as it was.
        fed: images → what the activation is fed, in a copy.
        end: how the copy ends.
    """
    if end.call is None or random_state(model):  # a call would move it
        return True
    shape = (4, *check_structure(model)[0])
    images = tf.constant(np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    expected, again = (np.float32(model(images, training=False)) for _ in range(2))
    room = _rounding(fed) * max(1.0, float(np.abs(expected).max()))
    if not np.isfinite(expected).all() or np.abs(again - expected).max() > room:
        return True  # it draws at random; or it is broken, which is said elsewhere
    value = fed(images, training=False)
    if has_kernel(end.call):
        value = end.call.layer.activation(value)
    else:
        [value] = called_on(end.call, [value, *end.call.given[1:]])
    for later in reversed(end.after):
        [value] = called_on(later, [value])
    return bool(np.abs(np.float32(value) - expected).max() <= room)


def _rounding(model: KerasModel) -> float:
    """Return what two runs of a model may differ by, of numbers near 1: of its coarsest type."""
    kinds = {tf.as_dtype(tensor.dtype).name for call in calls(model) for tensor in call.results}
    return max(_ROUNDING.get(kind, 1e-4) for kind in kinds)


def _extended(model: KerasModel, last: Callable[[Any], Any]) -> KerasModel:
    """Return a model that does something more with its output."""
    keras = keras_of(model)
    if is_functional(model):
        return keras.Model(model.inputs[0], last(model.outputs[0]), name=model.name)
    images = keras.layers.Input(check_structure(model)[0])
    return keras.Model(images, last(model(images)), name=model.name)


def _of_two_classes(model: KerasModel) -> KerasModel:
    keras = keras_of(model)
    pad = keras.ops.pad if keras.__name__ == "keras" else tf.pad
    return _extended(model, lambda z: pad(z, [[0, 0], [1, 0]]))


def _logarithms(model: KerasModel) -> KerasModel:
    keras = keras_of(model)
    if keras.__name__ == "tf_keras":
        return _extended(model, logarithms)
    ops = keras.ops
    return _extended(model, lambda p: ops.log(ops.maximum(ops.cast(p, "float32"), TINY)))
