"""Options of `tfrobust train`: what is trained, and how.

`@trains` gives a command the options of a training: the fields of `TrainingOptions`, and --seed.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust.option_tables import describe
from tfrobust.options import build
from tfrobust.training.options import TrainingOptions
from tfrobust_cli.options.declared import Seed
from tfrobust_cli.options.groups import option_group


def check_only(only: str | None, *, name: str, **others: object) -> None:
    """Refuse what a training of a defence alone has no use for.

    Args:
        only: the defence.
        name: for the store.
        **others: options of a training from the beginning.

    Raises:
        UsageError: names them; or no name is given, and the deployed classifier has its own.
    """
    if only is None:
        return
    given = [f"--{option}" for option, value in others.items() if value]
    if given:
        raise UsageError(f"--only: trains {only} alone; leave out {', '.join(given)}")
    if not name:
        raise UsageError("--only: give the result a --name of its own")


def _declared() -> dict[str, tuple[Any, Any]]:
    """Return the options of a training as a command takes them; choices are checked later."""
    types = typing.get_type_hints(TrainingOptions)
    declared: dict[str, tuple[Any, Any]] = {}
    for option in describe(TrainingOptions):
        name, kind = option.name, types[option.name]
        kind = str if typing.get_origin(kind) is typing.Literal else kind
        text = f"{option.help[0].upper()}{option.help[1:]}."
        declared[name] = Annotated[kind, typer.Option(help=text)], option.default
    return declared | {"seed": (Seed, 0)}


def _training_options(**given: Any) -> TrainingOptions:
    return build(TrainingOptions, "train", given)


trains = option_group("training", _declared(), _training_options)
