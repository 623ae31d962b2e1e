"""Are these logits? Asked of a Keras model's graph; `bounded` asks the values.

A softmax, a sigmoid or another function that bounds the outputs leaves attacks next to no gradient
where the network is sure, and the network looks more robust than it is. What stands before that
function are the logits: `to_logits` returns a model that ends in them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.bounded import SATURATED, TINY, NoLogitsError, logarithms, looks_bounded
from tfrobust.errors import ClassifierError
from tfrobust.keras_forms import check_structure, plain
from tfrobust.keras_graph import Call, call_of, called_on, calls, has_kernel, inlined, is_functional
from tfrobust.keras_models import keras_of, random_state

LINEAR = "linear"
TWO = "its one output z is judged as two logits, 0 and z"
BOUNDING = frozenset(
    {"softmax", "sigmoid", "hard_sigmoid", "sparsemax", "sparse_sigmoid"}
    | {"tanh", "hard_tanh", "softsign", "arctan", "atan", "erf"}
)
WAY_OUT = (
    "build its last layer with activation=None, or convert it: --to-logits "
    "(in Python: tfrobust.logits.to_logits(model))"
)
_AS_IT_IS = frozenset({"linear", "identity", "cast", "copy", "reshape", "squeeze", "stop_gradient"})
_PASSING = frozenset(  # layers that leave the order of a row's numbers
    {"Activation", "ActivityRegularization", "Cast", "Copy", "Identity", "InputLayer"}
    | {"Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"}
    | {"Flatten", "Reshape", "Squeeze"}
)
_SCALING = frozenset(
    {"rescaling", "multiply", "divide", "true_divide", "truediv", "add", "subtract", "negative"}
)
_ROUNDING = {"float16": 0.02, "bfloat16": 0.1}


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a model ends.

    Attributes:
        name: of what bounds its outputs, such as `softmax`; `linear`: nothing does; the empty
            string: its graph does not tell.
        call: of the layer or operation that bounds them.
        after: the calls behind that one, the last one first.
        falls: whether the outputs fall where what it gives rises, as in 1 - sigmoid.
    """

    name: str
    call: Call | None = None
    after: tuple[Call, ...] = ()
    falls: bool = False


def ending(model: Any) -> Ending:
    """Tell how a Keras model of either generation ends, through nested models.

    Example:
        >>> ending(keras.Sequential([keras.Input((8,)), keras.layers.Dense(10, "softmax")])).name
        'softmax'
    """
    after: list[Call] = []
    falls = False
    for call in _backwards(model) if is_functional(model) else ():
        name = _activation(call.layer)
        if name in BOUNDING:
            return Ending(name, call, tuple(after), falls)
        if name in _AS_IT_IS and has_kernel(call):
            return Ending(LINEAR)
        if factor := _factor(call):
            falls ^= factor < 0  # whether the factor of all calls together is negative
        elif name not in _AS_IT_IS or type(call.layer).__name__ not in (*_PASSING, "TFOpLambda"):
            break
        after.append(call)
    return Ending("")


def _backwards(model: Any) -> Iterator[Call]:
    """Yield the calls from the output back, until one reads several tensors."""
    around: list[Call] = []  # the nested models that the walk is inside of
    tensor = model.outputs[0]
    while True:
        call = call_of(tensor)
        if is_functional(call.layer):
            around.append(call)
            tensor = call.layer.outputs[_place(tensor, call.results)]
        elif call.given:
            yield call
            if len(call.given) > 1:
                return
            tensor = call.given[0]
        elif around:
            outer = around.pop()
            tensor = outer.given[_place(tensor, outer.layer.inputs)]
        else:
            return


def _factor(call: Call) -> float:
    """Return a where a call makes a·x + b of every number x, of constants; 0 where it does not."""
    if _kind(call.layer) not in _SCALING or len(call.given) != 1:
        return 0.0
    shape = [size or 1 for size in call.given[0].shape]
    dtype = tf.as_dtype(call.given[0].dtype)
    try:
        at_1, at_2, at_3 = (
            np.asarray(tf.cast(called_on(call, [tf.fill(shape, tf.cast(x, dtype))])[0], tf.float32))
            for x in (1, 2, 3)
        )
    except Exception:  # what is no plain arithmetic may raise anything
        return 0.0
    factor = at_2 - at_1
    alike = factor.size and np.ptp(at_1) == 0 and np.ptp(factor) == 0
    return float(factor.flat[0]) if alike and np.allclose(at_3 - at_2, factor, rtol=0.01) else 0.0


def _place(tensor: Any, among: list[Any]) -> int:
    return next(k for k, each in enumerate(among) if each is tensor)


def _activation(layer: Any) -> str:
    """Return what a layer or operation does last: an activation's name, `linear` for none.

    The empty string: nobody knows, as with a stranger's layer or a recurrent one.
    """
    kind = _kind(layer)
    if kind in BOUNDING or hasattr(layer, "symbol"):
        return kind
    if not _is_known(layer) or hasattr(layer, "recurrent_activation") or hasattr(layer, "cell"):
        return ""
    activation = getattr(layer, "activation", None)
    if activation is None:
        return LINEAR
    return _snake(getattr(activation, "__name__", type(activation).__name__))


def _kind(layer: Any) -> str:
    symbol = getattr(layer, "symbol", None)  # an operation of Keras 2: `nn.softmax`
    if isinstance(symbol, str):
        return symbol.split(".")[-1]
    kind = _snake(type(layer).__name__)
    return {"soft_sign": "softsign"}.get(kind, kind)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _is_known(layer: Any) -> bool:
    """Tell whether a layer's class is one of Keras or Larq, and not a stranger's."""
    return type(layer).__module__.split(".")[0] in ("keras", "tf_keras", "larq")


def check_ending(model: Any, num_classes: int) -> bool:
    """Refuse a model whose graph shows that it gives no logits.

    Returns:
        Whether the graph shows that it does; where it does not tell, the values must.

    Raises:
        NoLogitsError: a softmax, a sigmoid or the like at the end; a single output.
    """
    found = ending(model).name
    if num_classes == 1:
        raise NoLogitsError(
            "model output: expected (batch, classes) with 2 classes or more; received: (None, 1); "
            "one number that decides between two classes becomes two logits, 0 and itself: "
            "--to-logits (in Python: tfrobust.logits.to_logits(model))"
        )
    if found in BOUNDING:
        raise NoLogitsError(f"the model ends in a {found}, which weakens every attack; {WAY_OUT}")
    return found == LINEAR


def to_logits(model: Any) -> Any:
    """Return a copy of a Keras model that ends in its logits; see `converted`.

    Raises:
        ClassifierError: as `converted`.

    Example:
        >>> KerasClassifier(to_logits(keras.saving.load_model("softmax.keras")))
    """
    return converted(model)[0]


def converted(model: Any) -> tuple[Any, str]:
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
    found, said = ending(model), ""
    if found.call is not None:
        model = _cut(model)
        said = f"its last {found.name} is left out"
    elif not found.name:
        kind = looks_bounded(lambda images: model(images, training=False), image_shape)
        if kind in ("sigmoid", SATURATED) or (kind == "softmax" and num_classes == 1):
            raise ClassifierError(
                "the model gives numbers that something bounds, such as to [0, 1], and nothing "
                "shows which logits they were made of; build its last layer with activation=None"
            )
        if kind == "softmax":
            model, said = _logarithms(model), "its logits are the logarithms of its probabilities"
    if num_classes == 1:
        model = _of_two_classes(model)
        said = f"{said}; {TWO}" if said else TWO
    return model, said


def _cloned(model: Any) -> Any:
    """Return a copy; the model itself where Keras cannot copy it, as with a layer in two others."""
    try:
        clone = keras_of(model).models.clone_model(model)
        clone.set_weights(model.get_weights())
    except Exception:  # a stranger's layer may raise anything
        return model
    return clone


def _cut(model: Any) -> Any:
    """Return a functional model up to what its last activation is fed.

    Raises:
        ClassifierError: the activation cannot be left out, or other outputs would come of it.
    """
    flat = inlined(_cloned(model))
    found = ending(flat)
    call = found.call
    if call is None:
        raise ClassifierError(
            "the model's last activation cannot be left out: it is called as in training; "
            "build its last layer with activation=None"
        )
    fed = _linear_call(call, flat) if has_kernel(call) else call.given[0]
    logits = -fed if found.falls else fed
    for later in reversed(found.after):
        if not _factor(later):  # a hundred times as large, logits would weaken attacks again
            [logits] = called_on(later, [logits])
    keras = keras_of(model)
    if not _agrees(model, keras.Model(flat.inputs[0], fed), found):
        raise ClassifierError(
            f"the model's last {found.name} cannot be left out: what it is fed could not be told "
            "with certainty; build its last layer with activation=None"
        )
    return keras.Model(flat.inputs[0], logits, name=model.name)


def _linear_call(call: Call, model: Any) -> Any:
    """Return what a layer with a kernel gives without its activation.

    A copy is called: the layer itself may be called elsewhere too, with its activation.
    """
    layer = call.layer
    shared = sum(each.layer is layer for each in calls(model)) > 1
    name = f"{layer.name}_logits" if shared else layer.name
    config = layer.get_config() | {"activation": "linear", "name": name}
    copy = type(layer).from_config(config)
    [fed] = called_on(call, call.given, copy)
    copy.set_weights(layer.get_weights())
    return fed


def _agrees(model: Any, fed: Any, found: Ending) -> bool:
    """Tell whether a model's last activation gives what the model gave, of what it is fed.

    Args:
        model: as it was.
        fed: images → what the activation is fed, in a copy.
        found: how the copy ends.
    """
    if found.call is None or random_state(model):  # a call would move it
        return True
    shape = (4, *check_structure(model)[0])
    images = tf.constant(np.random.default_rng(0).uniform(size=shape).astype(np.float32))
    expected, again = (np.float32(model(images, training=False)) for _ in range(2))
    room = _rounding(fed) * max(1.0, float(np.abs(expected).max()))
    if not np.isfinite(expected).all() or np.abs(again - expected).max() > room:
        return True  # it draws at random; or it is broken, which is said elsewhere
    value = fed(images, training=False)
    if has_kernel(found.call):
        value = found.call.layer.activation(value)
    else:
        [value] = called_on(found.call, [value, *found.call.given[1:]])
    for later in reversed(found.after):
        [value] = called_on(later, [value])
    return bool(np.abs(np.float32(value) - expected).max() <= room)


def _rounding(model: Any) -> float:
    """Return what two runs of a model may differ by, of numbers near 1: of its coarsest type."""
    kinds = {tf.as_dtype(each.dtype).name for call in calls(model) for each in call.results}
    return max(_ROUNDING.get(kind, 1e-4) for kind in kinds)


def _extended(model: Any, last: Callable[[Any], Any]) -> Any:
    """Return a model that does something more with its output."""
    keras = keras_of(model)
    if is_functional(model):
        return keras.Model(model.inputs[0], last(model.outputs[0]), name=model.name)
    images = keras.layers.Input(check_structure(model)[0])
    return keras.Model(images, last(model(images)), name=model.name)


def _of_two_classes(model: Any) -> Any:
    keras = keras_of(model)
    pad = keras.ops.pad if keras.__name__ == "keras" else tf.pad
    return _extended(model, lambda z: pad(z, [[0, 0], [1, 0]]))


def _logarithms(model: Any) -> Any:
    keras = keras_of(model)
    if keras.__name__ == "tf_keras":
        return _extended(model, logarithms)
    ops = keras.ops
    return _extended(model, lambda p: ops.log(ops.maximum(ops.cast(p, "float32"), TINY)))
