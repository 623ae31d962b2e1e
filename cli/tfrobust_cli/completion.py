"""Completion in the shell: studies, their scales, and `-p NAME=VALUE` of the plugins so far."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from tfrobust.options import option_fields
from tfrobust.registry import entries
from tfrobust_cli.console import Verbosity, set_verbosity, start_tensorflow

# The arguments of commands that name plugins → their kind.
_KINDS = {
    "model": "models",
    "scenario": "scenarios",
    "attack": "attacks",
    "defense": "defenses",
    "only": "defenses",
    "detector": "detectors",
    "certifier": "certifiers",
}


def complete_param(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return what `-p` may go on with: `eps=`, `pgd.eps=`, or the values of a choice.

    Args:
        ctx: with the arguments that were typed before.
        incomplete: what was typed of this one.
    """
    set_verbosity(Verbosity.QUIET)  # a shell would mix what is printed into the line
    start_tensorflow()
    return [whole for whole in _assignments(ctx.params) if whole.startswith(incomplete)]


def complete_study(incomplete: str) -> list[str]:
    """Return the names of studies that begin like this."""
    from tfrobust.study.schema.files import studies

    return [name for name in studies() if name.startswith(incomplete)]


def complete_scale(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the scales of the study on the line that begin like this."""
    from tfrobust.study.schema.files import find_study, studies

    names = [ctx.params["name"]] if ctx.params.get("name") else list(studies())
    scales = dict.fromkeys(scale for name in names for scale in find_study(name)[0].scales)
    return [scale for scale in scales if scale.startswith(incomplete)]


def _assignments(given: Mapping[str, Any]) -> Iterator[str]:
    for argument, kind in _KINDS.items():
        values = given.get(argument) or ()
        for name in (values,) if isinstance(values, str) else values:
            yield from _of_plugin(kind, name.partition("+")[0])


def _of_plugin(kind: str, name: str) -> Iterator[str]:
    named = [entry for entry in entries(kind) if entry.name == name]
    if not named:
        return
    for option, field in option_fields(named[0].load()).items():
        values = list(_choices(field.annotation)) or [""]
        yield from (f"{option}={value}" for value in values)
        yield from (f"{name}.{option}={value}" for value in values)


def _choices(annotation: Any) -> Iterator[str]:
    """Return the values that an option may have, where it is a choice."""
    if annotation is bool:
        yield from ("true", "false")
    elif typing.get_origin(annotation) is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    elif inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        yield from (str(member.value) for member in annotation)
