"""Layers that draw at inference: existing dropout that stays on, and inserted dropout.

A model is rebuilt without nesting around the same layers, so that its weights stay shared. Only the
random layers are called as in training: batch normalisation keeps its running statistics, unless
those of the batch are asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from tfrobust.classifiers.keras.graph import Call, call_of, calls, has_kernel, inlined, last_weighed
from tfrobust.classifiers.keras.models import keras_of, raw_variables
from tfrobust.types import KerasLayer, KerasModel
from tfrobust_uncertainty.batch_statistics import BatchStatistics, by_batch, normalizes_batches
from tfrobust_uncertainty.masks import Mask

_DROPOUT = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
)
_NOISE = (*_DROPOUT, "GaussianNoise")


def always_on(call: Call) -> bool:
    """Tell whether a call is of noise that `noisy` switched on."""
    return getattr(call.layer, "always_on", False)  # other Keras layers have no such attribute


def has_noise(model: KerasModel) -> bool:
    """Tell whether a model has dropout or other noise, among its layers, that inference omits."""
    return any(_is(call.layer, _NOISE) for call in calls(inlined(model)))


def has_batch_statistics(model: KerasModel) -> bool:
    """Tell whether a model normalises by the batch in training mode."""
    return any(normalizes_batches(call.layer) for call in calls(inlined(model)))


def each_for_itself(model: KerasModel) -> bool:
    """Tell whether all noise of a model from `noisy` is drawn for every image of a batch anew."""
    return all(call.layer.an_image for call in calls(model) if always_on(call))


def state_of(model: KerasModel) -> list[Any]:
    """Return the variables of a model from `noisy`, with those that its masks draw from."""
    inside = (getattr(layer, "noise", None) for layer in model._flatten_layers())
    masks = [noise.draws.state for noise in inside if isinstance(noise, Mask)]
    return raw_variables(model) + masks


def noisy(
    model: KerasModel, rate: float | None = None, batch_statistics: BatchStatistics = "running"
) -> Any:
    """Return a model in one level around the same layers, whose dropout and noise are always on.

    Args:
        model: functional or sequential, of either Keras generation.
        rate: of every dropout instead of its own; each keeps its kind. A model without dropout gets
            plain dropout of this rate before each dense layer that reads another dense layer, and
            before the last layer with a kernel where there is no such.
        batch_statistics: what batch normalisation uses: its running statistics, or those of the
            batch it is given, as in training mode; see `batch_statistics`.
    """
    flat = inlined(model)
    keras = keras_of(model)
    always = _always_on(keras)
    insert = set() if rate is None or _has_dropout(flat) else set(map(id, _to_drop_before(flat)))

    @functools.cache  # a layer that is called twice stays one
    def replaced(layer: KerasLayer) -> Callable[..., Any]:
        if _is(layer, _NOISE):
            noise = always(*_always_drawing(layer, rate))
            return lambda inputs, **_: noise(inputs)
        if batch_statistics == "batch" and normalizes_batches(layer):
            normalization = by_batch(keras)(layer)
            return lambda inputs, **_: normalization(inputs)
        if id(layer) in insert:
            dropped = always(Mask(rate or 0.0))
            return lambda inputs, **options: layer(dropped(inputs), **options)
        return layer

    return inlined(flat, replaced)


def _always_drawing(layer: KerasLayer, rate: float | None) -> tuple[Callable[[Any], Any], bool]:
    """Return what stands for a noise layer, and whether it draws for every image anew.

    A mask stands for plain dropout, else the layer itself, or one of its kind with another rate.
    """
    kind, shape = type(layer).__name__, getattr(layer, "noise_shape", None)
    if kind == "Dropout" and shape is None:
        return Mask(layer.rate if rate is None else rate), True
    if rate is not None and _is(layer, _DROPOUT):
        layer = type(layer).from_config({**layer.get_config(), "rate": rate})
    an_image = kind in _NOISE and (shape is None or shape[0] is None)
    return functools.partial(layer, training=True), an_image


def _is(layer: KerasLayer, kinds: tuple[str, ...]) -> bool:
    return any(cls.__name__ in kinds for cls in type(layer).__mro__)


def _has_dropout(flat: Any) -> bool:
    return any(_is(call.layer, _DROPOUT) for call in calls(flat))


def _to_drop_before(flat: Any) -> list[Any]:
    """Return the dense layers that read, in the end, another dense layer; else the last layers."""
    dense = [call.layer for call in calls(flat) if _is(call.layer, ("Dense",)) and _deep(call)]
    return dense or [call.layer for call in last_weighed(flat)]


def _deep(call: Call) -> bool:
    """Walk back from a call to the nearest ones with a kernel; tell whether one is dense."""
    waiting = list(call.given)
    while waiting:
        before = call_of(waiting.pop())
        if _is(before.layer, ("Dense",)):
            return True
        if not has_kernel(before):
            waiting.extend(before.given)
    return False


@functools.cache
def _always_on(keras: ModuleType) -> type:
    class AlwaysOn(keras.layers.Layer):  # type: ignore[name-defined]
        """Noise that is on at inference too."""

        always_on = True

        def __init__(self, noise: Callable[[Any], Any], an_image: bool = True) -> None:
            super().__init__()
            self.noise, self.an_image = noise, an_image
            self.kept = getattr(noise, "func", None)  # a layer, to be found among the layers

        def call(self, inputs: Any) -> Any:
            """Return the noisy inputs."""
            return self.noise(inputs)

    return AlwaysOn
