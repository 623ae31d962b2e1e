"""What a plugin is, in a line: read from its source, so that listing imports no plugin."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

from tfrobust.registry import Entry

_LARGEST = 1_000_000  # bytes of a source file


def summary(entry: Entry) -> str:
    """Return the first line of a plugin's docstring; the empty text where it cannot be read.

    Example:
        >>> summary(find("attacks", "fgsm"))
        'One step of size ε along the sign of the gradient.'
    """
    module, _, name = entry.target.partition(":")
    return _first_lines(module).get(name.partition(".")[0], "")


@functools.cache
def _first_lines(module: str) -> dict[str, str]:
    """Return the first line of the docstring of each class and function of a module."""
    try:
        path = _source(module)
        if path is None or path.stat().st_size > _LARGEST:
            return {}
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    kinds = ast.ClassDef, ast.FunctionDef
    return {
        node.name: (ast.get_docstring(node) or "").partition("\n")[0].strip()
        for node in tree.body
        if isinstance(node, kinds)
    }


def _source(module: str) -> Path | None:
    """Return the file of a module; only the search for its top-level package runs, no import."""
    package, *inner = module.split(".")
    found = importlib.util.find_spec(package)
    if found is None:
        return None
    if not inner:
        return Path(found.origin) if found.origin else None
    for folder in found.submodule_search_locations or ():
        stem = Path(folder, *inner)
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None
