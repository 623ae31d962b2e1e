"""The options of a plugin as a table: what `tfrobust plugins show` prints."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from tfrobust.options import option_fields


@dataclasses.dataclass(frozen=True)
class Option:
    """One line of an option table: what `tfrobust plugins show` prints."""

    name: str
    type: str
    default: Any
    range: str
    help: str


def describe(cls: type) -> list[Option]:
    """Return the options of plugin `cls` in the order of their declaration.

    Its own, and those of its package, come before what it has from the core's classes.
    """
    hints = typing.get_type_hints(cls)
    plugins = [base for base in cls.__mro__ if not base.__module__.startswith("tfrobust.")]
    own = {name for base in plugins for name in vars(base).get("__annotations__", ())}
    fields = dict(sorted(option_fields(cls).items(), key=lambda field: field[0] not in own))
    return [
        Option(
            name,
            _type_name(hints[name]),
            field.get_default(call_default_factory=True, validated_data={}),
            ", ".join(filter(None, map(_bound, field.metadata))),
            field.description or "",
        )
        for name, field in fields.items()
    ]


def _type_name(hint: Any) -> str:
    if hint is type(None):
        return "none"
    if typing.get_origin(hint) is typing.Literal:
        return " | ".join(map(str, typing.get_args(hint)))
    if arguments := typing.get_args(hint):
        return " | ".join(map(_type_name, arguments))
    return getattr(hint, "__name__", str(hint))


def _bound(constraint: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "multiple_of": "multiple of"}
    for attribute, sign in signs.items():
        value = getattr(constraint, attribute, None)
        if value is not None:
            return f"{sign} {value}"
    return ""
