"""A step as a section of an experiment file."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def section_of(kind: str, settings: Mapping[str, Any]) -> str:
    """Return a step as TOML, which `read_experiment` reads back to the same settings.

    Args:
        kind: of the step.
        settings: its settings; those that are `None` or empty lists are left out.

    Example:
        >>> print(section_of("train", {"model": "lenet", "epochs": 3}), end="")
        [[train]]
        model = "lenet"
        epochs = 3
    """
    kept = {key: value for key, value in settings.items() if value not in (None, [], ())}
    return "\n".join([f"[[{kind}]]", *(f"{key} = {_toml(kept[key])}" for key in kept), ""])


def plain(value: Any) -> Any:
    """Return a setting as a file holds it: texts, numbers, and lists of them."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Path):
        return str(value)
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def _toml(value: Any) -> str:
    value = plain(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for the one control character that JSON lets stand.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
