"""A user's own Keras classes, which a file names: taken from modules that the user vouches for."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from tfrobust.errors import UsageError, one_line


def custom_objects(modules: Sequence[str]) -> dict[str, Any]:
    """Import modules, and return the classes and functions that they define, by name.

    The modules' code is run. They are looked for in the current folder too.

    Args:
        modules: names, such as `mylab.layers`.

    Raises:
        UsageError: one cannot be imported.

    Example:
        >>> custom_objects(["mylab.layers"])
        {'Scale': <class 'mylab.layers.Scale'>}
    """
    objects: dict[str, Any] = {}
    for name in modules:
        module = _imported(name)
        for called, value in vars(module).items():
            defined = inspect.isclass(value) or inspect.isfunction(value)
            if defined and value.__module__ == module.__name__:
                objects[called] = value
    return objects


class UserModules:
    """Modules that the user names, whose classes and functions a file may name."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = tuple(modules)

    def has(self, module: str | None) -> bool:
        """Tell whether a module is one of them, or inside of one."""
        return module is not None and any(
            module == own or module.startswith(f"{own}.") for own in self._modules
        )

    def defines(self, module: str | None, name: str) -> bool:
        """Tell whether a module that the user named defines something of that name itself."""
        if module is None or not self.has(module):
            return False
        if module not in sys.modules:
            return module in self._modules  # loading the file imports it first
        value = vars(sys.modules[module]).get(name)
        return self.has(getattr(value, "__module__", None))  # anything may stand in a module

    def names(self) -> set[str]:
        """Return the names of the classes and functions that they define themselves."""
        loaded = [sys.modules[name] for name in self._modules if name in sys.modules]
        return {
            name
            for module in loaded
            for name, value in vars(module).items()
            if isinstance(value, type | FunctionType) and self.has(value.__module__)
        }


def _imported(name: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except Exception as error:  # a user's module may raise anything
        raise UsageError(
            f"--custom-objects: {name!r} cannot be imported ({one_line(error)}); expected the name "
            "of a module that is installed or lies in the current folder, such as mylab.layers"
        ) from error
    finally:
        sys.path.remove(here)
