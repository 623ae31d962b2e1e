"""Gradients that `tf.custom_gradient` registers, let go together with the graph they are for.

Every trace through `tf.custom_gradient`, which Larq's quantizers and `tf.nn.silu` are made of,
registers a gradient under a name of its own. TensorFlow's registry never forgets one, and each
refers to its graph and all that the graph refers to: a process that evaluates model after model
only grows. Here the graph itself keeps its gradients, and the registry refers to them weakly.

TensorFlow has no public way to do that. Where its registry looks otherwise than expected, nothing
is changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

_PREFIX = "CustomGradient-"  # names that `tf.custom_gradient` draws
_KEPT = "_tfrobust_gradients"  # of a graph
_KNOWN: set[str] = set()  # names that were looked at


def tie_to_graphs() -> None:
    """Let every gradient that was registered since the last call live as long as its graph."""
    registered: Any = getattr(getattr(ops, "gradient_registry", None), "_registry", None)
    if not isinstance(registered, dict):
        return
    for name in [name for name in registered if name not in _KNOWN]:
        _KNOWN.add(name)
        if name.startswith(_PREFIX):
            _tie(registered, name)


def _tie(registered: dict[str, Any], name: str) -> None:
    entry = registered[name]
    functions = [key for key, value in entry.items() if callable(value)]
    if len(functions) != 1:
        return
    gradient = entry[functions[0]]
    graphs = {id(graph): graph for graph in _graphs_of(gradient)}
    if len(graphs) != 1:
        return
    [graph] = graphs.values()
    setattr(graph, _KEPT, {**getattr(graph, _KEPT, {}), name: gradient})
    entry[functions[0]] = _weakly(gradient)

    def forget() -> None:
        registered.pop(name, None)
        _KNOWN.discard(name)

    weakref.finalize(graph, forget).atexit = False


def _weakly(gradient: Callable[..., Any]) -> Callable[..., Any]:
    reference = weakref.ref(gradient)

    def called(operation: Any, *upstream: Any) -> Any:
        kept = reference()
        if kept is None:
            raise LookupError("the graph of this gradient is gone")
        return kept(operation, *upstream)

    return called


def _graphs_of(function: Any, depth: int = 3) -> Iterator[Any]:
    """Yield the graphs of the symbolic tensors that a function closes over."""
    for cell in getattr(function, "__closure__", None) or ():
        try:
            value = cell.cell_contents
        except ValueError:  # empty
            continue
        for inner in tf.nest.flatten(value) if isinstance(value, (list, tuple)) else [value]:
            if tf.is_symbolic_tensor(inner):
                yield inner.graph
            elif depth and callable(inner) and hasattr(inner, "__closure__"):
                yield from _graphs_of(inner, depth - 1)
