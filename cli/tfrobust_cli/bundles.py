"""Options that travel as one object: a command declares a dataclass, and receives it filled."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any


def takes(bundle: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command the fields of a dataclass as options, in place of `options`.

    Args:
        bundle: a keyword-only dataclass; each field is an option, annotated as Typer wants it.

    Example:
        >>> @takes(EvaluateOptions)
        ... def evaluate(options: EvaluateOptions) -> None: ...
    """
    types = typing.get_type_hints(bundle, include_extras=True)
    fields = {
        field.name: inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=types[field.name],
            default=inspect.Parameter.empty
            if field.default is dataclasses.MISSING
            else field.default,
        )
        for field in dataclasses.fields(bundle)
    }

    def wrap(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        others = [each for name, each in own.parameters.items() if name != "options"]

        @functools.wraps(command)
        def called(**given: Any) -> None:
            command(bundle(**{name: given.pop(name) for name in fields}), **given)

        called.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*fields.values(), *others]
        )
        return called

    return wrap
