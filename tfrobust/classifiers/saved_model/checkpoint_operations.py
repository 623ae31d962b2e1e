"""Operations on checkpoints in a SavedModel: allowed where the loader saves and restores alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import variable_pb2

CHECKPOINT = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}


def misplaced(meta: Any, functions: dict[str, Any]) -> Iterator[str]:
    """Yield operations on checkpoints that are reached otherwise than by saving and restoring.

    Saving is never run here. Restoring may only read the file that the loader names. A node that
    nothing reaches never runs: of a graph of TensorFlow 1 the loader takes what signatures,
    initialisers and restoring need (`wrap_function`'s `prune`), of TensorFlow 2 the functions.
    Scripts of TensorFlow 1 leave the nodes of a `Saver` of their own behind.
    """
    graph, saver = {node.name: node for node in meta.graph_def.node}, meta.saver_def
    given = _node_of(saver.filename_tensor_name)
    restoring = set(_reached([_node_of(saver.restore_op_name)], graph, functions))
    saving = set(_reached([_node_of(saver.save_tensor_name)], graph, functions))
    elsewhere = set(_reached(_roots(meta), graph, functions))
    reached = restoring | saving | elsewhere
    for name, node in graph.items():
        if name not in reached:
            continue
        if node.op in CHECKPOINT and not _is_savers(
            node, name, saving, restoring, elsewhere, given=given
        ):
            yield node.op
    for name, function in functions.items():
        arguments = {argument.name for argument in function.signature.input_arg}
        for node in function.node_def:
            source = node.input[0].split(":")[0] if node.input else ""
            argument = source if source in arguments else None
            if node.op in CHECKPOINT and not _is_savers(
                node, name, saving, restoring, elsewhere, given=argument
            ):
                yield node.op


def _is_savers(
    node: Any,
    name: str,
    saving: set[str],
    restoring: set[str],
    elsewhere: set[str],
    *,
    given: str | None,
) -> bool:
    """Tell whether an operation on a checkpoint belongs to saving or restoring alone."""
    if name in elsewhere:
        return False
    if name in restoring:
        source = node.input[0].split(":")[0] if node.input else ""
        return node.op == "RestoreV2" and source == given
    return name in saving


def _roots(meta: Any) -> set[str]:
    """Return where running begins: signatures, initialisers, functions of objects."""
    roots = set(meta.object_graph_def.concrete_functions)
    for signature in meta.signature_def.values():
        for output in signature.outputs.values():
            sparse = output.coo_sparse
            names = [output.name, sparse.values_tensor_name, sparse.indices_tensor_name]
            names += [sparse.dense_shape_tensor_name]
            names += [part.name for part in output.composite_tensor.components]
            roots |= set(map(_node_of, names))
    for key, collection in meta.collection_def.items():
        roots |= {_node_of(tensor) for tensor in collection.node_list.value}
        if key != "savers":  # never made by the loader; else read as variables, with initialisers
            for content in collection.bytes_list.value:
                roots |= _of_variable(content)
    return roots


def _of_variable(content: bytes) -> set[str]:
    """Return the nodes that a variable of TensorFlow 1 names, such as its initialiser."""
    try:
        variable = variable_pb2.VariableDef.FromString(content)
    except DecodeError:
        return set()  # TensorFlow cannot read it either
    names = [variable.variable_name, variable.initializer_name]
    names += [variable.initial_value_name, variable.snapshot_name]
    return set(map(_node_of, names))


def _reached(
    names: Iterable[str], graph: dict[str, Any], functions: dict[str, Any]
) -> Iterator[str]:
    """Yield the nodes and functions that running some of them may run, at any depth."""
    left, met = [name for name in names if name], set()
    while left:
        name = left.pop()
        if name in met:
            continue
        met.add(name)
        yield name
        if name in graph:
            left += [_node_of(tensor) for tensor in graph[name].input]
            left += _called(graph[name], functions)
        elif name in functions:
            for node in functions[name].node_def:
                left += _called(node, functions)


def _called(node: Any, functions: dict[str, Any]) -> list[str]:
    """Return the functions that a node names."""
    called = [node.op] if node.op in functions else []
    for value in node.attr.values():
        called += [function.name for function in (value.func, *value.list.func) if function.name]
    return called


def _node_of(tensor: str) -> str:
    """Return the name of the node that a tensor such as `^a/b:0` comes from."""
    return tensor.removeprefix("^").split(":")[0]
