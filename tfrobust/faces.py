"""The public names of a package, each imported when it is first asked for.

A package names what it offers in its `__init__`, and importing it stays cheap: reading results
needs no TensorFlow, although the package that evaluates does.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package whose names live in its modules.

    Args:
        package: its `__name__`.
        homes: module in the package → the public names that it defines.

    Example:
        >>> __getattr__, __dir__ = lazy(__name__, {"trainer": ("Trainer",)})
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def getattribute(name: str) -> Any:
        if name in home_of:
            return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattribute, lambda: sorted(home_of)
