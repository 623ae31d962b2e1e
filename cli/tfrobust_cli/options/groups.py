"""Groups of options that several commands share, declared once.

A command with such a group has one keyword argument for it, which holds a settings object.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

Command = Callable[..., None]
Declared = Mapping[str, tuple[Any, Any]]  # option → its annotation and its default


def option_group(
    argument: str | None, declared: Declared, build: Callable[..., Any]
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command a group of options.

    Args:
        argument: the command's keyword argument, which takes what `build` returns; `None`: nothing
            takes it, and `build` is called before the command.
        declared: the options, in the order of the help text; they follow the command's own.
        build: takes the options by name; returns the settings object.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [option for name, option in signature.parameters.items() if name != argument]
        group = [
            inspect.Parameter(
                name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default
            )
            for name, (kind, default) in declared.items()
        ]
        keyword_only = [option for option in own if option.kind is option.KEYWORD_ONLY]
        positional = [option for option in own if option.kind is not option.KEYWORD_ONLY]
        options = [*positional, *group, *keyword_only]

        @functools.wraps(command)
        def with_group(**given: Any) -> None:
            settings = build(**{name: given.pop(name) for name in declared})
            command(**given, **({argument: settings} if argument else {}))

        with_group.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
        with_group.__annotations__ = {option.name: option.annotation for option in options}
        return with_group

    return decorate
