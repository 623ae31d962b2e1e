"""Which activations bounds know: those that never fall. Rectifiers are known by their values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfrobust.types import KerasLayer

MONOTONE = frozenset(
    {"linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "tanh", "sigmoid"}
)
ACTIVATIONS = frozenset({"Activation", "ReLU", "LeakyReLU", "ELU", "Relu", "Relu6", "LeakyRelu"})
_LIBRARIES = frozenset({"keras", "tf_keras", "tensorflow"})  # whose functions are what they say


def why_unknown(layer: KerasLayer) -> str | None:
    """Return what is wrong with a layer's activation; `None`: it is known never to fall.

    It is not where the activation may fall, or only has the name of one that never does.
    """
    kind, name, known = type(layer).__name__, name_of(layer), ", ".join(sorted(MONOTONE))
    if name not in MONOTONE:
        return f"the activation {name}, which is not known to be monotone; known are: {known}"
    function = getattr(layer, "activation", None) or layer
    library = (getattr(function, "__module__", None) or "").partition(".")[0]
    if library not in _LIBRARIES:
        return f"an activation {name} that is not Keras's own; known are: {known}"
    for option in ("negative_slope", "alpha") if kind in ACTIVATIONS else ():
        slope = getattr(layer, option, None)
        if slope is not None and float(slope) < 0:
            return (
                f"a layer {kind} of {option} {float(slope):g}, which falls; known are those from 0"
            )
    return None


def name_of(layer: KerasLayer) -> str:
    """Return the name of a layer's activation."""
    named = {"ReLU": "relu", "Relu": "relu", "Relu6": "relu6", "ELU": "elu"}
    named |= {"LeakyReLU": "leaky_relu", "LeakyRelu": "leaky_relu"}
    activation = getattr(layer, "activation", None)
    own = "linear" if activation is None else getattr(activation, "__name__", "unknown")
    return named.get(type(layer).__name__, own)


def falls(call: Any) -> bool:
    """Tell whether a function falls between sampled numbers, by more than rounding."""
    sizes = np.geomspace(1e-6, 1e4, 400)
    at = np.concatenate([-sizes[::-1], [0.0], sizes]).astype(np.float32)[None]
    values = np.asarray(call(at), np.float64)[0]
    return bool((np.diff(values) < -1e-6 * (np.abs(values[1:]) + 1e-6)).any())


def leak_of(call: Any) -> float | None:
    """Return the slope below 0 of a function that is x above 0 and linear below; else `None`."""
    if getattr(call, "max_value", None) is not None or getattr(call, "threshold", None):
        return None  # it may bend beyond the numbers looked at
    sizes = 10.0 ** np.arange(-6, 5)
    at = np.concatenate([-sizes, [0.0], sizes]).astype(np.float32)[None]
    values = np.asarray(call(at))
    leak = float(0.0 - values[0, 6])  # at −1
    same = np.allclose(values, np.where(at < 0, leak * at, at), rtol=1e-5, atol=0.0)
    return leak if same and 0.0 <= leak <= 1.0 else None
