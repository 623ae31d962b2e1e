"""A Keras 3 network whose hidden activation functions are replaced by others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras

from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.graph import calls, inlined, is_functional
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.errors import UsageError
from tfrobust.types import KerasLayer, KerasModel

_HIDDEN = frozenset(  # a sigmoid is a gate, and a softmax attention: both stay
    {"relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh"}
)
_LAYERS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU)
_OPERATIONS = frozenset({"Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Gelu", "Silu", "Tanh"})


def check_replaceable(classifier: KerasClassifier, defense: str) -> None:
    """Refuse a network in which no activation function can be replaced.

    Raises:
        UsageError: names the defence, and what the network is or lacks.
    """
    model = classifier.model
    if keras_of(model) is not keras:
        raise UsageError(f"{defense}: expected a Keras 3 model; received: a Keras 2 one")
    if not is_functional(model):
        raise UsageError(
            f"{defense}: expected a functional or sequential model, whose activations are known; "
            f"received: {type(model).__name__}; build it as one"
        )
    if not any(activates(call.layer) for call in calls(inlined(model))):
        raise UsageError(
            f"{defense}: expected a network with ReLU or the like; received: one without; take "
            "another architecture, such as lenet"
        )


def activates(layer: KerasLayer) -> bool:
    """Tell whether a layer or operation is, or ends in, a hidden activation function."""
    if isinstance(layer, _LAYERS) or type(layer).__name__ in _OPERATIONS:
        return True
    activation = getattr(layer, "activation", None)  # other layers have no such attribute
    return getattr(activation, "__name__", "") in _HIDDEN and not hasattr(layer, "cell")


def with_activations(
    classifier: KerasClassifier, activation: Callable[[str], KerasLayer]
) -> KerasClassifier:
    """Return a copy of a network with other activation functions and the same weights.

    Args:
        classifier: as `check_replaceable` accepts it; it stays as it is.
        activation: name → the layer that stands for one activation function.

    Example:
        >>> with_activations(network, lambda name: WinnersTakeAll(0.1, name=name))
    """
    model = inlined(copied(classifier).model)
    weighted: list[tuple[KerasLayer, KerasLayer]] = []

    @functools.cache  # a layer that is called twice stays one
    def replaced(layer: KerasLayer) -> Callable[..., Any]:
        if not activates(layer):
            return layer
        other = activation(f"{layer.name}_activation")
        if not getattr(layer, "activation", None):  # the layer is nothing else
            return lambda inputs, **_: other(inputs)
        bare = type(layer).from_config(layer.get_config() | {"activation": "linear"})
        weighted.append((layer, bare))
        return lambda inputs, **options: other(bare(inputs, **options))

    rebuilt = inlined(model, replaced)
    for old, new in weighted:
        new.set_weights(old.get_weights())
    return KerasClassifier(
        rebuilt, class_names=classifier.class_names, stochastic=classifier.stochastic
    )


def layers_of(model: KerasModel, *kinds: type) -> list[Any]:
    """Return the layers of some kinds in a model, nested ones too, in their order."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
