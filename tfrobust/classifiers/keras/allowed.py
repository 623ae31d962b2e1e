"""What the configuration of a Keras file may name.

Loading a Keras file calls whatever its configuration names: a class by module and name, a function,
an operation of TensorFlow. Allowed are Keras's own building blocks, those that a plugin has
registered, and those of modules that the user names. Everything else is refused before Keras reads
the file, wherever it hides: in nested models, wrappers, initialisers, or in what a model was
compiled with.
"""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Collection
from types import FunctionType
from typing import Any

from tfrobust.classifiers.custom_objects import UserModules
from tfrobust.classifiers.keras.building_blocks import (
    CODE,
    NEVER,
    keras_classes,
    keras_functions,
)
from tfrobust.classifiers.keras.configuration import dicts, place, refused, stored_code
from tfrobust.classifiers.keras.lookup import TENSORFLOWS, Generation, would_find
from tfrobust.classifiers.keras.operations import is_operation
from tfrobust.files.reading import UnreadableError
from tfrobust.registry import entries

_DATA = {
    "__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__",
    "__tuple__", "TensorShape",
}  # fmt: skip
_BUILTINS = frozenset(dir(builtins))
# In addition to Keras's and the plugins'; `__main__` is the user's own script or notebook, whose
# classes are known here only where it has registered them.
_PACKAGES = ("larq", "tfrobust", "__main__")


def check_configuration(
    content: Any, generation: Generation, *, where: str = "config", extra: Collection[str] = ()
) -> None:
    """Refuse a configuration that names anything but what networks are made of.

    Args:
        content: parsed JSON.
        generation: the Keras that will read it.
        where: its place, for the message.
        extra: modules whose classes and functions it may name too.

    Raises:
        UnreadableError: what it names, and where.
    """
    _Allowed(generation, tuple(extra)).check(content, where)


def check_compiled(
    content: Any, generation: Generation, *, where: str, extra: Collection[str] = ()
) -> None:
    """Refuse what a whole model was compiled with, where it names foreign code.

    It is never built: `load_model(…, compile=False)` drops it. So a custom loss or metric is fine
    where no module is named for it; a module that is not Keras's is refused.

    Args:
        content: parsed JSON.
        generation: the Keras that will read the file.
        where: its place, for the message.
        extra: modules whose classes and functions it may name too.

    Raises:
        UnreadableError: what it names, where, and how to save the model without.
    """
    try:
        _Allowed(generation, tuple(extra)).check_unmade(content, where)
    except UnreadableError as error:
        raise UnreadableError(
            f"{error}; or save the model without what it was compiled with: "
            "keras.Model(model.inputs, model.outputs).save('model.keras')"
        ) from error


def is_keras_own(name: str, generation: Generation) -> bool:
    """Tell whether Keras itself has a building block of that name.

    Example:
        >>> is_keras_own("Dense", "keras"), is_keras_own("MyLayer", "keras")
        (True, False)
    """
    return _Allowed(generation, ()).is_class_of_keras(name)


class _Allowed:
    """What a configuration may build in one Keras generation."""

    def __init__(self, generation: Generation, extra: tuple[str, ...]) -> None:
        keras = importlib.import_module(generation)
        self._generation = generation
        self._extra = UserModules(extra)
        plugins = {entry.target.partition(":")[0].partition(".")[0] for entry in entries()}
        self._packages = {generation, *_PACKAGES, *plugins}
        self._classes = keras_classes(keras)
        self._names = {cls.__name__ for cls in self._classes}
        functions = keras_functions(keras)
        self._functions = set(functions) | {"swish", "hard_swish"}
        self._functions_found = set(functions.values())
        self._registered = dict(keras.saving.get_custom_objects())

    def check(self, content: Any, where: str) -> None:
        """Walk through everything, at any depth."""
        for inside, value in dicts(content, where):
            if "class_name" in value:
                self._check_named(value, inside)
            for key, text in value.items():
                if isinstance(text, str):
                    self._check_text(str(key), text, f"{inside}.{key}")

    def check_unmade(self, content: Any, where: str) -> None:
        """Walk through what is never made, and refuse what could be nothing but code."""
        for inside, value in dicts(content, where):
            name, module = value.get("class_name"), value.get("module")
            what = value.get("config") if name == "function" else name
            if isinstance(name, str) and name in CODE:
                raise stored_code(name, inside)
            foreign = isinstance(module, str) and not self._may_import(module)
            if foreign or (module == "builtins" and isinstance(what, str) and what in _BUILTINS):
                raise refused(f"{module}.{what}", inside)
            dotted = value.get("fn")
            if isinstance(dotted, str) and not dotted.isidentifier():
                raise refused(dotted, inside)

    def is_class_of_keras(self, name: str) -> bool:
        return name in self._names

    def _check_named(self, entry: dict[str, Any], where: str) -> None:
        name, module = entry["class_name"], entry.get("module")
        what = entry.get("config") if name == "function" else name
        called = f"{module}.{what}" if module else f"{what}"
        if not isinstance(name, str) or not isinstance(module, str | None):
            raise UnreadableError(f"{place(where)} names a class by something that is no name")
        if name in CODE:
            raise stored_code(name, where)
        if module and not self._may_import(module):
            raise refused(called, where)
        if name in _DATA and not module and not {"spec_name", "registered_name"} & set(entry):
            return
        if name in ("TFOpLambda", "SlicingOpLambda"):
            self._check_operation(entry.get("config"), where)
        if not (self._is_function(entry) if name == "function" else self._is_class(entry)):
            raise refused(called, where)

    def _check_text(self, key: str, text: str, where: str) -> None:
        """Refuse functions and classes that are given as a mere name."""
        known = self._functions | self._names
        if key in ("fn", "function") or key.endswith("activation"):
            fine = text in known or (key == "function" and is_operation(text))
        elif key.endswith(("initializer", "regularizer", "constraint")):
            fine = text.isidentifier()
        else:
            return
        if not (fine or self._is_ours(self._registered.get(text)) or text in self._extra.names()):
            raise refused(text, where)

    def _check_operation(self, config: Any, where: str) -> None:
        function = config.get("function") if isinstance(config, dict) else None
        if not isinstance(function, str) or not is_operation(function):
            raise refused(f"tf.{function}", where)

    def _may_import(self, module: str) -> bool:
        """Tell whether Keras may import a module, should it find nothing under the names given."""
        top = module.partition(".")[0]
        return (
            top in {"builtins", "keras", "tf_keras"} | self._packages
            or module == TENSORFLOWS
            or self._extra.has(module)
        )

    def _is_function(self, entry: dict[str, Any]) -> bool:
        """Tell whether Keras would find an allowed function: by its name, then in its module."""
        name, module, registered = (entry.get(k) for k in ("config", "module", "registered_name"))
        if not isinstance(name, str) or not isinstance(registered, str | None):
            return False
        if name in self._registered:
            return self._is_ours(self._registered[name])
        if name in self._extra.names() or self._extra.defines(module, name):
            return True
        if self._generation == "keras" and module == "builtins" and ">" not in name:
            # Keras 3.6 and older wrote the name without its package; all that could be meant count.
            meant = [self._registered[k] for k in self._registered if k.endswith(f">{name}")]
            if meant and not any(would_find(self._generation, module, name)):
                return all(map(self._is_ours, meant))
        if registered not in (None, name):
            return False
        candidates = would_find(self._generation, module or "builtins", name)
        return bool(candidates) and all(
            isinstance(e, FunctionType) and e in self._functions_found for e in candidates
        )

    def _is_class(self, entry: dict[str, Any]) -> bool:
        """Tell whether Keras would find an allowed class, in its files of today and of old.

        Those of today look for the registered name, or else in the module. Those of old look for
        the class's name alone; one file may have both forms.
        """
        name, module = entry["class_name"], entry.get("module")
        registered = entry.get("registered_name", name)
        if not isinstance(registered, str | None) or (
            name in self._registered and not self._is_ours(self._registered[name])
        ):
            return False
        if registered is not None and registered in self._registered:
            known = self._registered[registered]
            called = {registered, registered.rpartition(">")[2], getattr(known, "__name__", "")}
            return name in called and name not in NEVER and self._is_ours(known)
        if name in self._registered and not module:
            return True
        if name in self._extra.names() or self._extra.defines(module, name):
            return name not in NEVER
        return registered in (None, name, f"Custom>{name}") and self._is_keras_class(module, name)

    def _is_keras_class(self, module: str | None, name: str) -> bool:
        if not module:
            return name in self._names
        candidates = would_find(self._generation, module, name)
        return bool(candidates) and all(
            isinstance(cls, type) and cls in self._classes for cls in candidates
        )

    def _is_ours(self, value: Any) -> bool:
        """Tell whether a registered object is Keras's, a plugin's or of a module the user named."""
        module = getattr(value, "__module__", None) or ""
        if getattr(value, "__name__", "") in NEVER and module.partition(".")[0] in self._packages:
            return False
        return module.partition(".")[0] in self._packages or self._extra.has(module)
