"""What a SavedModel's operations may do, looked up before any of it is loaded or run.

A SavedModel is a program. TensorFlow runs its initialisers when it is loaded and the rest when it
is called, and among its operations are some that write files, run Python and open connections.
Here the graph is read as data first. Allowed are operations without side effects, and of those
with one: variables, tables in memory, control flow, random numbers. Checkpoints may be read and
written where the loader does so, and nowhere else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfrobust.errors import ClassifierError, one_line, printable
from tfrobust.files.reading import UnreadableError, read_bytes

_LARGEST = 2**31 - 1  # bytes; of any protocol buffer
_SHOWN = 5
# Operations that keep a state inside the process alone.
_KEEP_STATE = re.compile(
    r"VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|VariableShape"
    r"|Variable(V2)?|DestroyResourceOp|DisableCopyOnRead|StubResourceHandleOp"
    r"|Resource(Gather|GatherNd|Scatter\w+|StridedSliceAssign|CountUpTo|Apply\w+|SparseApply\w+)"
    r"|(Stateful)?PartitionedCall|If|While|Case|_Arg|_Retval|Assert|CheckNumerics(V2)?"
    r"|GuaranteeConst|Empty|DeepCopy|CudnnRNN\w*"
    r"|(Anonymous)?(Mutable(Dense)?)?HashTable(OfTensors)?(V2)?"
    r"|LookupTable(Find|Insert|Import|Export|Remove|Size)V2|InitializeTableV2"
    r"|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)"
    r"|TruncatedNormal|ParameterizedTruncatedNormal|Multinomial|NonDeterministicInts"
    r"|Stateful(StandardNormal(V2)?|TruncatedNormal|Uniform\w*|RandomBinomial)"
    r"|RngSkip|RngReadAndSkip|StatelessRandomGetAlg|SampleDistortedBoundingBox(V2)?"
    r"|TensorArray\w*|Stack(Push|Pop|Close)?V2"
)
# Operations that TensorFlow calls stateless, and that reach out of the graph all the same.
_REACH_OUT = re.compile(
    r"_.*|.*(Dataset|Iterator|Reader|File|Filename|PyFunc|Snapshot|Queue|Debug|Remote|Rpc"
    r"|Recv|Send|Dump|Summary|Vocab|TPU|Tpu).*"
    r"|Barrier.*|Abort|Copy|CopyHost|ImmutableConst|MlirPassthroughOp|BatchFunction|KernelLabel|SymbolicGradient"
    r"|XlaCustomCall\w*|XlaLaunch\w*|XlaCallModule|TfLite\w*|RegisterDataset\w*|Restore\w*|Save\w*"
)
_CHECKPOINT = {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
# Operations that reach out or not, by what one attribute says; left out, it says the first.
_ATTRIBUTES = {
    "PrintV2": "output_stream", "DecodeProtoV2": "descriptor_source",
    "EncodeProto": "descriptor_source",
}  # fmt: skip
_HARMLESS_WHERE = {
    "PrintV2": re.compile(r"|stderr|log\((info|warning|error)\)"),
    "DecodeProtoV2": re.compile(r"|local://"),  # else: a file that describes messages
    "EncodeProto": re.compile(r"|local://"),
}


def check_saved_model(folder: Path, *, trust: bool = False) -> None:
    """Refuse a SavedModel with operations that touch files, sockets or processes; run none of it.

    Args:
        folder: of the SavedModel.
        trust: the user vouches for it: nothing is looked at.

    Raises:
        ClassifierError: which operations it holds, or that it is damaged.

    Example:
        >>> check_saved_model(Path("served/lenet/1"))
    """
    if trust:
        return
    try:
        found = _forbidden(_read(folder))
    except (OSError, DecodeError, UnreadableError) as error:
        cause = getattr(error, "strerror", None) or one_line(error)
        raise ClassifierError(
            f"{folder}: not a readable SavedModel ({cause}); export it again"
        ) from error
    if found:
        named = ", ".join(printable(name, 40) for name in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ClassifierError(
            f"{folder}: the SavedModel holds operations that may touch files, sockets or processes "
            f"({named}{more}); nothing of it was run; if you trust who made it, go on with --trust"
        )


def _read(folder: Path) -> Any:
    path = folder / "saved_model.pb"
    for other in folder.glob("saved_model.*"):
        if other.name != path.name and other.suffix in (".pbtxt", ".cpb"):
            raise UnreadableError(f"{other.name} stands beside {path.name}; expected one of them")
    model = saved_model_pb2.SavedModel.FromString(read_bytes(path, _LARGEST))
    if not model.meta_graphs:
        raise UnreadableError("it holds no graph")
    return model


def _forbidden(model: Any) -> list[str]:
    """Return the names of the operations that are refused, each once."""
    found: dict[str, None] = {}
    for meta in model.meta_graphs:
        functions = {each.signature.name: each for each in meta.graph_def.library.function}
        for node in _nodes(meta.graph_def):
            if node.op not in _CHECKPOINT and not _is_allowed(node, functions):
                found[node.op] = None
        found |= dict.fromkeys(_misplaced(meta, functions))
        for asset in meta.asset_file_def:
            path = PurePosixPath(asset.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                found[f"the asset {asset.filename}"] = None
    return list(found)


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


def _is_allowed(node: Any, functions: dict[str, Any]) -> bool:
    stateful = _is_stateful(node.op)
    if stateful is None:
        return node.op in functions  # called by its name; its own nodes are looked at as well
    if node.op in functions:
        return False  # a function that takes an operation's name
    if node.op in _HARMLESS_WHERE:
        return _HARMLESS_WHERE[node.op].fullmatch(_text(node)) is not None
    pattern = _KEEP_STATE if stateful else _REACH_OUT
    return (pattern.fullmatch(node.op) is not None) == stateful


def _text(node: Any) -> str:
    """Return what the attribute says; what a caller of the function is to fill in is harmful."""
    name = _ATTRIBUTES[node.op]
    value = node.attr.get(name)
    if value is not None and value.WhichOneof("value") not in (None, "s"):
        return "?"
    return value.s.decode("utf-8", "replace") if value is not None else ""


@functools.lru_cache(maxsize=4096)
def _is_stateful(op: str) -> bool | None:
    """Tell whether TensorFlow says that an operation has side effects; `None`: there is none."""
    known = op_def_registry.get(op)
    return None if known is None else bool(known.is_stateful)


def _misplaced(meta: Any, functions: dict[str, Any]) -> Iterator[str]:
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
        if node.op in _CHECKPOINT and not _is_savers(
            node, name, saving, restoring, elsewhere, given=given
        ):
            yield node.op
    for name, function in functions.items():
        arguments = {each.name for each in function.signature.input_arg}
        for node in function.node_def:
            source = node.input[0].split(":")[0] if node.input else ""
            argument = source if source in arguments else None
            if node.op in _CHECKPOINT and not _is_savers(
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
        for each in signature.outputs.values():
            sparse = each.coo_sparse
            names = [each.name, sparse.values_tensor_name, sparse.indices_tensor_name]
            names += [sparse.dense_shape_tensor_name]
            names += [part.name for part in each.composite_tensor.components]
            roots |= set(map(_node_of, names))
    for key, collection in meta.collection_def.items():
        roots |= {_node_of(each) for each in collection.node_list.value}
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
            left += [_node_of(each) for each in graph[name].input]
            left += _called(graph[name], functions)
        elif name in functions:
            for node in functions[name].node_def:
                left += _called(node, functions)


def _called(node: Any, functions: dict[str, Any]) -> list[str]:
    """Return the functions that a node names."""
    called = [node.op] if node.op in functions else []
    for value in node.attr.values():
        called += [each.name for each in (value.func, *value.list.func) if each.name]
    return called


def _node_of(tensor: str) -> str:
    """Return the name of the node that a tensor such as `^a/b:0` comes from."""
    return tensor.removeprefix("^").split(":")[0]
