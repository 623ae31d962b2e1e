"""The graph of a SavedModel's signature, laid open: how it ends, and what is before its end.

Gradients through what is cut here are those of the operations, so nothing is cut behind a custom
gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.keras.ending import LINEAR
from tfrobust.types import Images

_PASSING = (
    "Identity",
    "Cast",
    "Reshape",
    "Squeeze",
    "StopGradient",
    "CheckNumerics",
    "EnsureShape",
)
_BOUNDING = {
    "Softmax": "softmax",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softsign": "softsign",
    "Atan": "atan",
    "Erf": "erf",
}
_LINEAR = ("MatMul", "BatchMatMulV2", "BiasAdd", "Conv2D", "Einsum")
_SCALING = ("Mul", "RealDiv")
_FEW = 0.02  # a smaller factor was made for more than 50 as the largest pixel
_OWN_GRADIENT = "_gradient_op_type"
_SUMS = ("Add", "AddV2", "Sub", "Neg")


class ServedEnding(NamedTuple):
    """What bounds an output: the output is factor · bound(inner) + offset.

    Attributes:
        bound: `softmax`, `sigmoid` and the like; `linear` where nothing does; the empty string
            where the graph does not tell.
        inner: the tensor that this reads.
        factor: of constants behind it.
        offset: of constants behind it.
    """

    bound: str
    inner: str
    factor: float = 1.0
    offset: float = 0.0


@dataclasses.dataclass(frozen=True)
class FlatGraph:
    """A signature's graph in one level.

    Attributes:
        nodes: by name; each input is `name:index`, without what only orders them.
        outputs: the tensor that each output of the signature is.
        inputs: the tensors it is given: the images first, then what it captures.
    """

    nodes: dict[str, Any]
    outputs: dict[str, str]
    inputs: tuple[str, ...]

    def node(self, tensor: str) -> Any:
        """Return the operation that gives a tensor."""
        return self.nodes[tensor.rpartition(":")[0]]

    def ending(self, output: str) -> ServedEnding:
        """Return what bounds an output, seen through constants that scale and shift it."""
        tensor, factor, offset = self.outputs[output], 1.0, 0.0
        while True:
            last = self.node(tensor)
            if last.op in _PASSING:
                tensor = last.input[0]
            elif step := self._arithmetic(last):
                tensor, times, plus = step
                factor, offset = factor * times, factor * plus + offset
            else:
                break
        if last.op in _BOUNDING:
            return ServedEnding(_BOUNDING[last.op], last.input[0], factor, offset)
        return ServedEnding(LINEAR if last.op in _LINEAR else "", tensor)

    def _arithmetic(self, node: Any) -> tuple[str, float, float] | None:
        """Return x, a and b where an operation gives a·x + b, of constants; else nothing."""
        if node.op == "Neg":
            return node.input[0], -1.0, 0.0
        if node.op not in (*_SCALING, *_SUMS):
            return None
        left, right = node.input
        number = self._number(right)
        first = number is None
        if first:
            number = self._number(left)
        if number is None or (first and node.op == "RealDiv"):
            return None
        other = right if first else left
        if node.op in _SCALING:
            times = 1 / number if node.op == "RealDiv" and number else number
            return (other, times, 0.0) if times else None
        if node.op == "Sub":
            return (other, -1.0, number) if first else (other, 1.0, -number)
        return other, 1.0, number

    def _number(self, tensor: str) -> float | None:
        """Return a constant whose numbers are all the same."""
        numbers = self._numbers(tensor)
        if numbers is None or not numbers.size or (numbers != numbers.flat[0]).any():
            return None
        return float(numbers.flat[0])

    def reads_bytes(self) -> bool:
        """Tell whether the images are first brought from 0 … 255 to the size of 1."""
        shown = {self.inputs[0]}
        for node in self._in_order():
            given = [tensor for tensor in node.input if tensor in shown]
            if given and node.op in _PASSING:
                shown.add(f"{node.name}:0")
            elif given and node.op in _SCALING:
                factor = self._constant(next((e for e in node.input if e not in shown), None))
                if factor and abs(1 / factor if node.op == "RealDiv" else factor) < _FEW:
                    return True
        return False

    def _in_order(self) -> Iterable[Any]:
        """Return the nodes that read the images, directly or through others, nearest first."""
        readers: dict[str, list[Any]] = {}
        for node in self.nodes.values():
            for tensor in node.input:
                readers.setdefault(tensor, []).append(node)
        waiting, seen = [self.inputs[0]], set()
        while waiting:
            for node in readers.get(waiting.pop(0), []):
                if node.name not in seen:
                    seen.add(node.name)
                    yield node
                    if node.op in _PASSING:
                        waiting.append(f"{node.name}:0")

    def _constant(self, tensor: str | None) -> float | None:
        numbers = None if tensor is None else self._numbers(tensor)
        return None if numbers is None else float(np.max(np.abs(numbers)))

    def _numbers(self, tensor: str) -> np.ndarray | None:
        node = self.node(tensor)
        while node.op in _PASSING and node.input:
            node = self.node(node.input[0])
        if node.op != "Const":
            return None
        return np.asarray(tf.make_ndarray(node.attr["value"].tensor))

    def precision(self) -> float:
        """Return what two runs of it may differ by, of numbers near 1: of its coarsest type."""
        kinds = {node.attr[name].type for node in self.nodes.values() for name in ("T", "DstT")}
        if tf.bfloat16.as_datatype_enum in kinds:
            return 0.1
        return 0.01 if tf.float16.as_datatype_enum in kinds else 1e-4

    def needed(self, tensor: str) -> list[Any]:
        """Return the operations that a tensor needs, its own among them."""
        operations: dict[str, Any] = {}
        waiting = [tensor]
        while waiting:
            node = self.node(waiting.pop())
            if node.name not in operations:
                operations[node.name] = node
                waiting += node.input
        return list(operations.values())


def cut(function: Any, graph: FlatGraph, tensor: str) -> Callable[[Images], Any] | None:
    """Return a function from images to an inner tensor of a signature; `None` if none can be made.

    It reads the variables that the signature reads, and gradients flow through it.

    Args:
        function: the loaded signature.
        graph: laid open.
        tensor: of it.
    """
    needed = graph.needed(tensor)
    if any(_OWN_GRADIENT in node.attr for node in needed):
        return None
    inner = tf.compat.v1.GraphDef()
    inner.node.extend(needed)
    inner.library.CopyFrom(function.graph.as_graph_def().library)
    kept = {node.name for node in needed}
    outside = [tensor for tensor in graph.inputs if tensor.rpartition(":")[0] in kept]

    @tf.function(autograph=False)
    def inside(images: Images) -> Any:
        for variable in function.graph.variables:  # the trace keeps those that it reads
            tf.convert_to_tensor(variable)
        captured = map(tf.compat.v1.get_default_graph().capture, function.captured_inputs)
        given = dict(zip(graph.inputs, [images, *captured], strict=True))
        [value] = tf.graph_util.import_graph_def(
            inner,
            input_map={name: given[name] for name in outside},
            return_elements=[tensor],
            name="",
        )
        return value

    return inside
