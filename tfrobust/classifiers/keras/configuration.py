"""The parsed configuration of a Keras file: a walk through it, and refusals of places in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfrobust.errors import printable
from tfrobust.files.reading import UnreadableError


def dicts(content: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every dict in parsed JSON, at any depth, and its place."""
    left: list[tuple[str, Any]] = [(where, content)]
    while left:
        where, value = left.pop()
        if isinstance(value, list):
            left += [(f"{where}[{k}]", item) for k, item in enumerate(value)]
        elif isinstance(value, dict):
            yield where, value
            left += [(f"{where}.{key}", item) for key, item in value.items()]


def stored_code(name: str, where: str) -> UnreadableError:
    """Return the refusal of code that a file holds."""
    kind = "a Lambda layer" if name == "Lambda" else "a Python lambda"
    return UnreadableError(
        f"it wants to run code stored in the file ({kind} at {place(where)}), "
        "which is never allowed"
    )


def refused(called: str, where: str) -> UnreadableError:
    """Return the refusal of a name that is none of a building block."""
    return UnreadableError(
        f"{place(where)} names {printable(called, 80)}, which is no building block of networks "
        "that Keras or a plugin has; if it is yours, name its module: --custom-objects MODULE, "
        "whose code is then run"
    )


def place(where: str) -> str:
    """Return a place as a message names it, shortened where it is long."""
    return printable(where if len(where) < 120 else f"{where[:50]}…{where[-60:]}", 130)
