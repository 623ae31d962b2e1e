"""A network with more classes than it had."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.graph import call_of, inlined, is_functional
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.errors import UsageError
from tfrobust.types import KerasModel


def add_classes(classifier: KerasClassifier, more: Sequence[str], *, seed: int) -> KerasClassifier:
    """Return a copy of a network with further classes after those it has.

    The logits of the old classes stay what they are, in their order.

    Args:
        classifier: a network that ends in a dense layer.
        more: names of the new classes.
        seed: of the weights for them.

    Raises:
        UsageError: a name that a class has already; a network that ends in something else.

    Example:
        >>> add_classes(classifier, ["fooling"], seed=0).class_names[-1]
        'fooling'
    """
    for number, name in enumerate(more):
        if name in classifier.class_names or name in more[:number]:
            raise UsageError(f"class name {name!r}: a class of this name exists already")
    before = copied(classifier).model
    last = _last(before)
    old = last.layer
    config = old.get_config() | {"units": old.units + len(more), "name": f"{old.name}_wider"}
    layer = type(old).from_config(config)
    logits = layer(last.given[0])
    keras = keras_of(before)
    layer.set_weights(
        [_joined(weight, len(more), np.random.default_rng(seed)) for weight in old.get_weights()]
    )
    model = keras.Model(inlined(before).inputs[0], logits, name=before.name)
    names = (*classifier.class_names, *more)
    return KerasClassifier(model, class_names=names, stochastic=classifier.stochastic)


def check_widens(classifier: KerasClassifier, *, instead: str) -> None:
    """Refuse a network that cannot be given more classes.

    Args:
        classifier: which.
        instead: what does without, for the message.

    Raises:
        UsageError: it does not end in a dense layer.
    """
    _last(classifier.model, f"; {instead}")


def _last(model: KerasModel, instead: str = "") -> Any:
    """Return the call of the dense layer that gives a model's logits."""
    call = call_of(inlined(model).outputs[0]) if is_functional(model) else None
    if call is None or type(call.layer).__name__ != "Dense":
        kind = type(model if call is None else call.layer).__name__
        raise UsageError(
            "more classes: expected a functional network that ends in a dense layer; received: "
            f"{kind}{instead}"
        )
    return call


def _joined(weights: np.ndarray, more: int, random: np.random.Generator) -> np.ndarray:
    """Return a kernel or bias with further columns, as small as Glorot's where it is a kernel."""
    new = np.zeros((*weights.shape[:-1], more), weights.dtype)
    if weights.ndim > 1:
        limit = np.sqrt(6 / (weights.shape[0] + weights.shape[-1] + more))
        new = random.uniform(-limit, limit, new.shape).astype(weights.dtype)
    return np.concatenate([weights, new], axis=-1)
