"""Which layers draw random numbers at inference, decided from their TensorFlow graph.

Calling them is not enough: a dropout of 1 % is rarely visible in a few calls.
"""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from tfrobust.classifiers.keras.graph import Call
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.types import KerasModel

# Python's own functions may do anything, and so count as random.
_DRAWS = re.compile(
    "Random|Rng|Multinomial|TruncatedNormal|SampleDistorted|PyFunc|Stateful(?!PartitionedCall)"
)


def model_draws(model: KerasModel) -> bool:
    """Tell whether two calls of a model at inference may differ."""
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]
    traced = tf.function(lambda *given: model(_one_or_all(given), training=False))
    graph = traced.get_concrete_function(*specs).graph.as_graph_def()
    inner = [node for function in graph.library.function for node in function.node_def]
    return any(_DRAWS.search(node.op) for node in (*graph.node, *inner))


def call_draws(call: Call) -> bool:
    """Return whether a layer draws in a call at inference, for any input."""
    if not call.given:
        return False
    given = list({id(tensor): tensor for tensor in call.given}.values())
    return model_draws(keras_of(call.layer).Model(_one_or_all(given), _one_or_all(call.results)))


def _one_or_all(tensors: Any) -> Any:
    return tensors[0] if len(tensors) == 1 else list(tensors)
