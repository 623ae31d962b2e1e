"""The Typer app: every command has help in two levels, and the manners that all share."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tfrobust.experiment.schema import ORDER
from tfrobust_cli.console import Verbosity, set_verbosity
from tfrobust_cli.options.groups import Command, option_group

# What `--help` shows of a command with many options; `--help-all` shows them all.
_COMMON = {
    "train": "scenario name defense only distil param weights epochs batch_size seed resume "
    "as_json",
    "evaluate": "out scenario attack suite param eps adaptive clean_only limit force as_json",
    "attack": "attack out scenario param split limit target seed export force as_json",
    "diagnose": "eps out norm attack scenario param images thorough strict force as_json",
    "certify": "certifier eps out scenario param split limit seed force as_json",
    "export": "version form quantize inputs classify warmup evaluated scenario param as_json",
}


class App(typer.Typer):
    """A Typer app whose commands can be quiet, verbose or colourless, with help in two levels."""

    def command(  # type: ignore[override]  # Typer's keywords, all but the class
        self, name: str | None = None, **given: Any
    ) -> Callable[[Command], Command]:
        """Return the decorator that registers a command; see `typer.Typer.command`."""
        register = super().command(name, cls=_TwoLevels, **given)

        def add(command: Command) -> Command:
            printable = _printable if name in ORDER else lambda same: same
            register(_mannered(printable(command)))
            return command

        return add


class _TwoLevels(TyperCommand):
    """A command whose `--help` has the options that people use, and `--help-all` all of them."""

    def invoke(self, ctx: Any) -> Any:
        """Call the command, or print what was typed as a section of an experiment file."""
        if not ctx.params.get("print_config"):
            return super().invoke(ctx)
        from tfrobust_cli.options.experiment import config_of

        print(config_of(ctx), end="")
        return None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help: of a command with many options that of the common ones."""
        rare = [] if ctx.meta.get(_ALL) else _rare(self)
        if not rare:
            super().format_help(ctx, formatter)
            return
        shown = copy.copy(self)
        shown.params = [option for option in self.params if option not in rare]
        shown.epilog = f"{len(rare)} further options: {ctx.command_path} --help-all"
        TyperCommand.format_help(shown, ctx, formatter)


def _rare(command: Any) -> list[Any]:
    """Return the options that only `--help-all` shows."""
    common = {*_COMMON.get(command.name, "").split(), *_MANNERS}
    options = [option for option in command.params if option.param_type_name == "option"]
    few = command.name not in _COMMON
    return [] if few else [o for o in options if not o.hidden and o.name not in common]


def _show_all(ctx: typer.Context, asked: bool) -> None:
    if asked:
        ctx.meta[_ALL] = True
        print(ctx.get_help(), end="")
        raise typer.Exit


def _without_colours(asked: bool) -> None:
    if asked:
        os.environ["NO_COLOR"] = "1"  # Rich and other libraries heed it


_ALL = "tfrobust.help_all"
_MANNERS: dict[str, tuple[Any, Any]] = {
    "quiet": (
        Annotated[bool, typer.Option("-q", "--quiet", help="Print results and errors alone.")],
        False,
    ),
    "verbose": (
        Annotated[
            bool, typer.Option("-v", "--verbose", help="Print TensorFlow's notes and times too.")
        ],
        False,
    ),
    "no_color": (
        Annotated[
            bool,
            typer.Option(
                "--no-color", help="Print no colours.", callback=_without_colours, is_eager=True
            ),
        ],
        False,
    ),
    "help_all": (
        Annotated[
            bool,
            typer.Option(
                "--help-all", help="Show every option.", callback=_show_all, is_eager=True
            ),
        ],
        False,
    ),
}


def _set_manners(*, quiet: bool, verbose: bool, no_color: bool, help_all: bool) -> None:
    """Set how much the process prints; what has a callback is done by then."""
    if quiet and verbose:
        raise typer.BadParameter("-q and -v contradict each other; leave one out")
    set_verbosity(Verbosity.QUIET if quiet else Verbosity.VERBOSE if verbose else Verbosity.USUAL)


_PRINTED: dict[str, tuple[Any, Any]] = {
    "print_config": (
        Annotated[
            bool,
            typer.Option(
                "--print-config", help="Print this command as a section of a file for `run`."
            ),
        ],
        False,
    ),
}


def _nothing(*, print_config: bool) -> None:
    """Take the option that `_TwoLevels.invoke` has heeded."""


_printable = option_group(None, _PRINTED, _nothing)
_mannered = option_group(None, _MANNERS, _set_manners)
