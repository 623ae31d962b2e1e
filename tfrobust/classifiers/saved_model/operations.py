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
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfrobust.classifiers.saved_model.checkpoint_operations import CHECKPOINT, misplaced
from tfrobust.errors import ClassifierError, printable, system_cause
from tfrobust.files.reading import UnreadableError, read_bytes
from tfrobust.types import KerasModel

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
        forbidden = _forbidden(_read(folder))
    except (OSError, DecodeError, UnreadableError) as error:
        cause = system_cause(error)
        raise ClassifierError(
            f"{folder}: not a readable SavedModel ({cause}); export it again"
        ) from error
    if forbidden:
        named = ", ".join(printable(name, 40) for name in forbidden[:_SHOWN])
        more = f" and {len(forbidden) - _SHOWN} more" if len(forbidden) > _SHOWN else ""
        raise ClassifierError(
            f"{folder}: the SavedModel holds operations that may touch files, sockets or processes "
            f"({named}{more}); nothing of it was run; if you trust who made it, use --trust"
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


def _forbidden(model: KerasModel) -> list[str]:
    """Return the names of the operations that are refused, each once."""
    names: dict[str, None] = {}
    for meta in model.meta_graphs:
        library = meta.graph_def.library
        functions = {function.signature.name: function for function in library.function}
        for node in _nodes(meta.graph_def):
            if node.op not in CHECKPOINT and not _is_allowed(node, functions):
                names[node.op] = None
        names |= dict.fromkeys(misplaced(meta, functions))
        for asset in meta.asset_file_def:
            path = PurePosixPath(asset.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                names[f"the asset {asset.filename}"] = None
    return list(names)


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
