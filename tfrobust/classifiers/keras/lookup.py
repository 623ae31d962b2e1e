"""Where Keras looks for what a file names, done without importing anything."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Literal

Generation = Literal["keras", "tf_keras"]

TENSORFLOWS = "tensorflow.python.ops.init_ops_v2"  # its initialisers, named by files of Keras 2
_BUILTIN_MODULES = (  # where Keras looks for functions that it says are builtin
    "activations", "constraints", "initializers", "losses", "metrics", "optimizers", "regularizers",
)  # fmt: skip


def would_find(generation: Generation, module: str, name: str) -> list[Any]:
    """Return what Keras would find in a module under a name, or everything that it could be.

    Modules that are not loaded are not imported: nothing is found there.

    Args:
        generation: the Keras that looks.
        module: as a file names it; of Keras itself, or `builtins`.
        name: of a class or function that is not registered.

    Example:
        >>> would_find("keras", "keras.layers", "Dense")
        [<class 'keras.src.layers.core.dense.Dense'>]
    """
    if not name.isidentifier():
        return []
    if module == "builtins":
        symbols = [_symbol(generation, f"keras.{place}.{name}") for place in _BUILTIN_MODULES]
        return [symbol for symbol in symbols if symbol is not None]
    if module.partition(".")[0] in ("keras", "tf_keras"):
        if (symbol := _symbol(generation, f"{module}.{name}")) is not None:
            return [symbol]
        if generation == "tf_keras" and module.startswith("keras"):
            module = f"tf_{module}"
    elif module != TENSORFLOWS:
        return []
    value = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return [] if value is None else [value]


def _symbol(generation: Generation, name: str) -> Any:
    """Return what this Keras has published under a name."""
    if generation == "keras":
        return importlib.import_module("keras.src.api_export").get_symbol_from_name(name)
    tf_export = importlib.import_module("tensorflow.python.util.tf_export")
    legacy = "compat.v1." if "__internal__.legacy" in name else ""
    return tf_export.get_symbol_from_name(legacy + name)
