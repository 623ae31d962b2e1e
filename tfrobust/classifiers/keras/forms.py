"""The one form that a Keras model has as a classifier: a tensor in, a tensor out, of known size."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.keras.graph import Call, calls, is_functional, rebuilt
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.classifiers.loading import UNIT
from tfrobust.errors import ClassifierError, one_line
from tfrobust.types import ImageShape, KerasModel

_FEW = 0.02  # a smaller factor was made for more than 50 as the largest pixel


def plain(model: KerasModel) -> KerasModel:
    """Return a model of the same layers that takes one tensor and gives one.

    A list or dict of one is taken apart; a model of that form already is returned itself.

    Raises:
        ClassifierError: it has several inputs or outputs, which are named.
    """
    if not is_functional(model):
        return model
    for what, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) > 1:
            raise ClassifierError(_several(model, what, tensors))
    if isinstance(model, keras_of(model).Sequential):
        return model
    if not any(isinstance(tensors, (list, tuple, dict)) for tensors in (model.input, model.output)):
        return model
    return keras_of(model).Model(model.inputs[0], model.outputs[0], name=model.name)


def _several(model: KerasModel, what: str, tensors: list[Any]) -> str:
    names = getattr(model, f"{what}_names", None) or [tensor.name for tensor in tensors]
    listed = ", ".join(f"{n} {tuple(t.shape)}" for n, t in zip(names, tensors, strict=True))
    if what == "output":
        return (
            f"model output: expected one, (batch, classes); received: {listed}; keep the one that "
            "classifies, as keras.Model(model.inputs, model.outputs[0]) does with the first"
        )
    return (
        "model input: expected one, (batch, height, width, channels); "
        f"received: {listed}; build a model of the images alone, which makes the others of them "
        "or sets them: keras.Model(images, model([images, …]))"
    )


def sized(model: KerasModel, image_shape: ImageShape | None) -> KerasModel:
    """Return a model that takes images of this size, where the size is left open.

    Args:
        model: functional or sequential, in its `plain` form.
        image_shape: `None`: not known; the model is returned as it is.

    Raises:
        ClassifierError: it cannot take images of this size.
    """
    if not is_functional(model) or image_shape is None:
        return model
    open_shape = tuple(model.inputs[0].shape)[1:]
    if None not in open_shape or len(open_shape) != 3:
        return model
    height, width, channels = (h or g for h, g in zip(open_shape, image_shape, strict=True))
    known = height, width, channels
    try:
        return rebuilt(model, known)
    except Exception as error:  # Keras raises anything where a layer cannot take the size
        raise ClassifierError(
            f"model input: it cannot take images of {known} ({one_line(error)}); "
            "choose a scenario of another image size"
        ) from error


def scaled(model: KerasModel, pixel_range: tuple[float, float]) -> KerasModel:
    """Return a model that takes images in [0, 1] for one that was made for other pixels.

    Args:
        model: of either generation, in its `plain` form and of known size.
        pixel_range: the least and the largest pixel that it was made for.
    """
    least, most = pixel_range
    if pixel_range == UNIT:
        return model
    layer = keras_of(model).layers.Rescaling(most - least, offset=least, name="pixel_range")
    return rebuilt(model, check_structure(model)[0], before=layer)


def check_structure(model: KerasModel) -> tuple[ImageShape, int]:
    """Return the image shape and class count of a model that can serve as a classifier.

    Args:
        model: in its `plain` form; a subclassed one must have been called.

    Raises:
        ClassifierError: another form of input or output, or sizes left open.
    """
    inputs, outputs = shapes(model)
    if isinstance(inputs, tuple) and len(inputs) == 4 and None in inputs[1:]:
        raise ClassifierError(
            "model input: expected (batch, height, width, channels) of fixed size; "
            f"received: {inputs}; name a scenario, whose size it takes (load from Python with "
            "LoadOptions(image_shape=…)), or fix it: x = keras.Input((height, width, channels)); "
            "keras.Model(x, model(x))"
        )
    if not (isinstance(inputs, tuple) and len(inputs) == 4):
        raise ClassifierError(
            "model input: expected (batch, height, width, channels) of fixed size; "
            f"received: {inputs}; reshape inside the model: x = keras.Input((height, width, "
            "channels)); keras.Model(x, model(keras.layers.Reshape(…)(x)))"
        )
    if not (isinstance(outputs, tuple) and len(outputs) == 2 and outputs[1]):
        raise ClassifierError(
            f"model output: expected (batch, classes) with 2 classes or more; received: {outputs}; "
            "end it in one number a class, such as with keras.layers.Flatten() or Dense(classes)"
        )
    return (inputs[1], inputs[2], inputs[3]), outputs[1]


def shapes(model: KerasModel) -> tuple[Any, Any]:
    """Return the shapes of a model's input and output, the batch left open.

    Raises:
        ClassifierError: it was never built or called.
    """
    if is_functional(model):
        return tuple(model.inputs[0].shape), tuple(model.outputs[0].shape)
    inputs = _called_on(model)
    if not isinstance(inputs, tuple):
        raise ClassifierError(
            "the model was never built; call it once on an array of images, or give it an Input"
        )
    if None in inputs[1:]:
        return inputs, (None, None)
    try:
        answer = model(tf.zeros((1, *inputs[1:])), training=False)
    except Exception as error:  # a third-party model may raise anything
        raise ClassifierError(f"the model cannot be called ({one_line(error)})") from error
    if not tf.is_tensor(answer):
        raise ClassifierError(
            f"model output: expected one tensor (batch, classes); received: {type(answer).__name__}"
            "; return the logits alone from call()"
        )
    return inputs, (None, *answer.shape[1:])


def _called_on(model: KerasModel) -> tuple[int | None, ...] | None:
    """Return the input shape that a subclassed model was built for or called on."""
    spec = getattr(model, "_saved_model_inputs_spec", None)  # Keras 2
    if isinstance(spec, tf.TensorSpec):
        return None, *spec.shape[1:]
    built: dict[str, Any] = getattr(model, "_build_shapes_dict", None) or {}
    first: Any = next(iter(built.values()), None)
    return (None, *first[1:]) if len(built) == 1 and isinstance(first, tuple) else None


def reads_bytes(model: KerasModel) -> bool:
    """Tell whether a model's first layer brings pixels of 0 … 255 to the size of 1.

    Example:
        >>> reads_bytes(keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255)]))
        True
    """
    if not is_functional(model):
        return False
    return any(map(_shrinks, _first_calls(model)))


def _first_calls(model: KerasModel) -> list[Call]:
    """Return what reads the images, nested models looked into."""
    images = {id(tensor) for tensor in model.inputs}
    first = []
    for call in calls(model):
        if any(id(tensor) in images for tensor in call.given):
            first += _first_calls(call.layer) if is_functional(call.layer) else [call]
    return first


def _shrinks(call: Call) -> bool:
    layer = call.layer
    kind = getattr(layer, "symbol", "").removeprefix("math.") or type(layer).__name__.lower()
    if kind == "normalization":
        return bool(np.min(np.asarray(layer.variance)) > 1.0)  # that of images in [0, 1] is below
    factors: list[float] = []
    if kind == "rescaling":
        factors = [float(np.max(layer.scale))]
    elif kind in ("truediv", "truedivide", "divide"):
        factors = [1 / number for number in _numbers(call) if number]
    elif kind == "multiply":
        factors = _numbers(call)
    return any(0 < abs(factor) < _FEW for factor in factors)


def _numbers(call: Call) -> list[float]:
    given = tf.nest.flatten((call.args, call.kwargs))
    numbers = (value for value in given if isinstance(value, (int, float)) and value is not True)
    return [float(number) for number in numbers]
