"""How a Keras model ends: what its graph shows as the last step."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.keras.graph import Call, call_of, called_on, has_kernel, is_functional
from tfrobust.types import KerasLayer, KerasModel

LINEAR = "linear"
BOUNDING = frozenset(
    {"softmax", "sigmoid", "hard_sigmoid", "sparsemax", "sparse_sigmoid"}
    | {"tanh", "hard_tanh", "softsign", "arctan", "atan", "erf"}
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


def ending(model: KerasModel) -> Ending:
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
        if factor := factor_of(call):
            falls ^= factor < 0  # whether the factor of all calls together is negative
        elif name not in _AS_IT_IS or type(call.layer).__name__ not in (*_PASSING, "TFOpLambda"):
            break
        after.append(call)
    return Ending("")


def _backwards(model: KerasModel) -> Iterator[Call]:
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


def factor_of(call: Call) -> float:
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
    same = factor.size and np.ptp(at_1) == 0 and np.ptp(factor) == 0
    return float(factor.flat[0]) if same and np.allclose(at_3 - at_2, factor, rtol=0.01) else 0.0


def _place(tensor: Any, among: list[Any]) -> int:
    return next(k for k, other in enumerate(among) if other is tensor)


def _activation(layer: KerasLayer) -> str:
    """Return what a layer or operation does last: an activation's name, `linear` for none.

    The empty string: unknown, as with a third-party layer or a recurrent one.
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


def _kind(layer: KerasLayer) -> str:
    symbol = getattr(layer, "symbol", None)  # an operation of Keras 2: `nn.softmax`
    if isinstance(symbol, str):
        return symbol.split(".")[-1]
    kind = _snake(type(layer).__name__)
    return {"soft_sign": "softsign"}.get(kind, kind)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _is_known(layer: KerasLayer) -> bool:
    """Tell whether a layer's class is one of Keras or Larq, and not a third party's."""
    return type(layer).__module__.split(".")[0] in ("keras", "tf_keras", "larq")
