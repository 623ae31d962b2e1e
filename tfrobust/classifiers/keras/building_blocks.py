"""The classes and functions of Keras that networks, and what they are trained with, are made of."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from tfrobust.classifiers.keras.lookup import TENSORFLOWS

CODE = {"Lambda", "__lambda__"}
# Of Keras itself, and yet never: they run code or operations that a file names, or read files.
NEVER = CODE | {
    "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
    "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty",
    "IndexLookup", "StringLookup", "IntegerLookup", "TextVectorization",
    "DenseFeatures", "SequenceFeatures",
    "Map", "Scan", "AssociativeScan", "WhileLoop", "ForiLoop", "Cond", "Switch", "VectorizedMap",
    "GPTQConfig", "AWQConfig",
}  # fmt: skip
_BASES = (
    "layers.Layer", "Operation", "initializers.Initializer", "regularizers.Regularizer",
    "constraints.Constraint", "losses.Loss", "metrics.Metric", "optimizers.Optimizer",
    "optimizers.legacy.Optimizer", "optimizers.schedules.LearningRateSchedule", "DTypePolicy",
    "dtype_policies.DTypePolicyMap", "mixed_precision.Policy", "quantizers.Quantizer",
    "quantizers.QuantizationConfig",
)  # fmt: skip
_FUNCTIONS = ("activations", "losses", "metrics")  # modules whose functions may be named
_NOT_FUNCTIONS = {"get", "serialize", "deserialize"}


def keras_classes(keras: ModuleType) -> set[type]:
    """Return the classes that a file may name, of `keras` or `tf_keras`."""
    classes = set(_building_blocks(keras, _BASES, keras.__name__))
    if tensorflows := sys.modules.get(TENSORFLOWS):
        classes |= set(_building_blocks(tensorflows, ("Initializer",), "tensorflow"))
    return classes


def keras_functions(keras: ModuleType) -> dict[str, FunctionType]:
    """Return the functions that a file may name, by their names, of `keras` or `tf_keras`."""
    return {
        name: value
        for module in _FUNCTIONS
        for name, value in vars(getattr(keras, module)).items()
        if isinstance(value, FunctionType) and name not in _NOT_FUNCTIONS
    }


def _building_blocks(root: Any, bases: Iterable[str], package: str) -> Iterator[type]:
    """Yield a package's classes that networks, and what they are trained with, are made of."""
    met = set()
    for path in bases:
        base = root
        for part in path.split("."):
            base = getattr(base, part, None)  # one Keras generation has it
        left = [base] if isinstance(base, type) else []
        while left:
            cls = left.pop()
            if cls in met or any(parent.__name__ in NEVER for parent in cls.__mro__):
                continue
            met.add(cls)
            left += type.__subclasses__(cls)
            if cls.__module__.partition(".")[0] == package:
                yield cls
