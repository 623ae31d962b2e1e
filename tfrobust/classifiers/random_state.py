"""Sets what a random classifier or detector draws next, from a seed.

Random layers hold the state of their generator in a variable: Keras 3 a seed and a counter,
`tf.random.Generator` a counter of two numbers and a key. Layers of Keras 2 may draw from the state
of TensorFlow's own kernels, which cannot be set; see the page on results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import forward

_SIZES = (2, 3)  # numbers of a generator's state: Keras's, and that of `tf.random.Generator`
_NAMES = ("seed_generator_state", "StateVar")  # what the two call it


def reseed(classifier: Classifier, *what: object) -> None:
    """Let a stochastic classifier draw what belongs to a place in a run; others are left alone.

    Args:
        classifier: any.
        what: seed, block and step, for example: the same ones give the same draws.
    """
    if classifier.stochastic:
        set_generators(forward(classifier).get_concrete_function().graph, *what)


def set_generators(graph: Any, *what: object) -> None:
    """Set the generators that a traced function draws from; see `reseed`."""
    for number, variable in enumerate(_generators(graph)):
        content = hashlib.sha256(repr((number, *what)).encode()).digest()
        key = int.from_bytes(content[:4], "big") >> 1
        state = [key, 0] if variable.shape[0] == 2 else [0, 0, key]
        variable.assign(tf.cast(tf.constant(state, tf.int64), variable.dtype))


def _generators(graph: Any) -> Iterator[Any]:
    # A graph's variables come in the order of their addresses, which differs between processes.
    places = {id(outer): place for place, (outer, _) in enumerate(graph.captures)}
    last = len(places)
    unique = {variable.ref(): variable for variable in graph.variables}
    ordered = sorted(unique.values(), key=lambda v: (places.get(id(v.handle), last), v.name))
    for variable in ordered:
        named = any(name in variable.name for name in _NAMES)
        if named and variable.shape.rank == 1 and variable.shape[0] in _SIZES:
            yield variable
