"""Layers that keep drawing: dropout that is on at inference, and dropout put where there was none.

A model is rebuilt round the same layers, so that its weights stay shared. Only the random layers
are called as in training: batch normalisation keeps its running statistics.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tfrobust.keras_graph import is_functional, producer
from tfrobust.keras_models import draws_once_a_call, keras_of, raw_variables
from tfrobust_uncertainty.masks import Mask

_NOISE = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
)


def draws(layer: Any) -> bool:
    """Tell whether a layer, or one inside it, answers two calls at inference differently."""
    inside = layer._flatten_layers()
    return draws_once_a_call(layer) or any(getattr(each, "always_on", False) for each in inside)


def has_noise(model: Any) -> bool:
    """Tell whether a model holds dropout or other noise that inference leaves out."""
    return any(map(_is_noise, model._flatten_layers()))


def state_of(model: Any) -> list[Any]:
    """Return the variables of a model from `noisy`, with those that its masks draw from."""
    inside = (getattr(layer, "noise", None) for layer in model._flatten_layers())
    masks = [noise.draws.state for noise in inside if isinstance(noise, Mask)]
    return raw_variables(model) + masks


def noisy(model: Any, rate: float | None = None) -> Any:
    """Return a model round the same layers whose dropout is always on.

    Args:
        model: functional or sequential, of either Keras generation.
        rate: of every dropout instead of its own. A model without any gets dropout of this rate
            before each dense layer that reads another dense layer, and before the last layer
            where there is no such.
    """
    insert = () if has_noise(model) or rate is None else _readers_of_dense(model)
    return _rebuilt(model, rate, insert)


def _rebuilt(model: Any, rate: float | None, insert: Any) -> Any:
    keras = keras_of(model)
    always = _always_on(keras)

    def replaced(layer: Any) -> Any:
        if is_functional(layer):
            return _rebuilt(layer, rate, insert)
        if _is_noise(layer):
            return always(_always_drawing(layer, rate))
        if rate is not None and any(layer is each for each in insert):
            return always(Mask(rate), layer)
        return layer

    return keras.models.clone_model(model, clone_function=replaced)


def _always_drawing(layer: Any, rate: float | None) -> Callable[[Any], Any]:
    """Return what stands for a noise layer: a mask for plain dropout, else the layer itself."""
    if rate is not None:
        return Mask(rate)
    if type(layer).__name__ == "Dropout" and layer.noise_shape is None:
        return Mask(layer.rate)
    return functools.partial(layer, training=True)


def _is_noise(layer: Any) -> bool:
    return any(cls.__name__ in _NOISE for cls in type(layer).__mro__)


def _readers_of_dense(model: Any) -> list[Any]:
    """Return the dense layers that read, in the end, another dense layer; else the last layer."""
    found = [layer for layer in _layers(model) if _is_dense(layer) and _reads_dense(layer)]
    last = model.layers[-1]
    while is_functional(last):
        last = last.layers[-1]
    return found or [last]


def _layers(model: Any) -> list[Any]:
    return [
        each
        for layer in model.layers
        for each in (_layers(layer) if is_functional(layer) else [layer])
    ]


def _is_dense(layer: Any) -> bool:
    return any(cls.__name__ == "Dense" for cls in type(layer).__mro__)


def _reads_dense(layer: Any) -> bool:
    """Walk back from a layer to the nearest ones with a kernel; tell whether one is dense."""
    node = layer._inbound_nodes[0]
    waiting = list(node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors)
    while waiting:
        before, given = producer(waiting.pop())
        if _is_dense(before):
            return True
        if not hasattr(before, "kernel"):
            waiting.extend(given)
    return False


@functools.cache
def _always_on(keras: ModuleType) -> type:
    class AlwaysOn(keras.layers.Layer):  # type: ignore[name-defined]
        """Noise that is on at inference too, and the layer that reads it, if one is given."""

        always_on = True

        def __init__(self, noise: Callable[[Any], Any], then: Any = None) -> None:
            super().__init__()
            self.noise, self.then = noise, then
            self.kept = getattr(noise, "func", None)  # a layer, to be found among the layers

        def call(self, inputs: Any) -> Any:
            """Return the noisy inputs, or what the layer makes of them."""
            drawn = self.noise(inputs)
            return drawn if self.then is None else self.then(drawn)

    return AlwaysOn
