"""A user's own Keras classes, which a file names: taken from modules that the user vouches for."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
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
    found: dict[str, Any] = {}
    for name in modules:
        module = _imported(name)
        for called, value in vars(module).items():
            defined = inspect.isclass(value) or inspect.isfunction(value)
            if defined and value.__module__ == module.__name__:
                found[called] = value
    return found


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
