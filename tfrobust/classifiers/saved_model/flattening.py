"""A SavedModel's signature as one graph: functions that call functions become plain operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from tfrobust.classifiers.saved_model.served_graph import FlatGraph
from tfrobust.errors import ClassifierError

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def flat_graph(function: Any) -> FlatGraph:
    """Return a loaded signature's graph in one level.

    Raises:
        ClassifierError: it calls what it does not bring along.
    """
    whole = function.graph.as_graph_def()
    flat = _Flattening({called.signature.name: called for called in whole.library.function})
    try:
        flat.add(whole.node, "", {})
    except (KeyError, ValueError) as error:
        raise ClassifierError(f"a function of the graph is missing ({error})") from error
    for node in flat.nodes.values():
        node.input[:] = [flat.resolved(tensor) for tensor in node.input]
    names = sorted(function.structured_outputs)
    given = [output.name for output in function.graph.outputs]
    outputs = {n: flat.resolved(tensor) for n, tensor in zip(names, given, strict=True)}
    return FlatGraph(flat.nodes, outputs, tuple(tensor.name for tensor in function.graph.inputs))


class _Flattening:
    """A walk through a graph and the functions that it calls.

    Attributes:
        nodes: the operations that were met, by name.
    """

    def __init__(self, library: dict[str, Any]) -> None:
        self.nodes: dict[str, Any] = {}
        self._library = library
        self._same: dict[str, str] = {}  # a call's result is a tensor inside of what is called

    def resolved(self, tensor: str) -> str:
        """Return the tensor of an operation that a tensor of a call is."""
        while tensor in self._same:
            tensor = self._same[tensor]
        return tensor

    def add(self, body: Iterable[Any], prefix: str, given: dict[str, str]) -> None:
        """Add the operations of a function's body, and of those it calls, under a prefix.

        Args:
            body: its nodes.
            prefix: of their names.
            given: argument → the tensor that it is.
        """
        for node in body:
            name = prefix + node.name
            if node.name in given:  # one of the function's arguments
                self._same[f"{name}:0"] = given[node.name]
                continue
            inputs = [
                prefix + (tensor if ":" in tensor else f"{tensor}:0")
                for tensor in node.input
                if not tensor.startswith("^")
            ]
            if node.op in _CALLS:
                self._add_call(node, name, inputs)
                continue
            copied = type(node)()
            copied.CopyFrom(node)
            copied.name = name
            copied.input[:] = inputs
            copied.attr.pop("_class", None)
            self.nodes[name] = copied

    def _add_call(self, node: Any, name: str, inputs: list[str]) -> None:
        called = self._library[node.attr["f"].func.name]
        inside, flat = function_def_to_graph_def(called)
        arguments = [argument.name for argument in called.signature.input_arg]
        self.add(inside.node, f"{name}/", dict(zip(arguments, inputs, strict=True)))
        for k, result in enumerate(called.signature.output_arg):
            self._same[f"{name}:{k}"] = f"{name}/{flat[called.ret[result.name]]}"
