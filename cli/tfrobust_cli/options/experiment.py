"""Commands as sections of an experiment file, and back: both from the options that they declare."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from tfrobust import suites
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.experiment.reading import plugins_of
from tfrobust.experiment.schema import ORDER, Setting, Step, StepKind
from tfrobust.experiment.writing import plain, section_of
from tfrobust.options import build
from tfrobust.registry import find
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.options.evaluate import CORRUPTIONS
from tfrobust_cli.options.worker import OWN

# How a command prints, and what `run` decides itself: whether it goes on or overwrites.
_LEFT_OUT = {
    "quiet", "verbose", "no_color", "help_all", "as_json", "resume", "force",
    "print_config",
}  # fmt: skip
# Kinds whose options are checked by building; scenarios are opened, and shifts with them.
_BUILT = {"attacks", "certifiers", "defenses", "detectors", "models", "trackers"}


def step_kinds() -> list[StepKind]:
    """Return the sections of an experiment file: the commands with all their settings."""
    return [StepKind(name, tuple(map(_setting, _settable(_commands()[name])))) for name in ORDER]


@functools.cache
def _commands() -> Mapping[str, Any]:
    from tfrobust_cli.main import app

    group: Any = typer.main.get_command(app)
    commands: Mapping[str, Any] = group.commands
    return commands


def _settable(command: Any) -> Iterator[Any]:
    """Yield the parameters of a command that a file may give."""
    # Workers of a training call the command that was typed.
    own = set(OWN) if command.name == "train" else set()
    for parameter in command.params:
        hidden = parameter.hidden or parameter.name in _LEFT_OUT
        if not hidden and not own & set(parameter.opts):
            yield parameter


def key_of(parameter: Any) -> str:
    """Return an option's key in a file: `--max-drop-from` is `max_drop_from`."""
    if parameter.param_type_name == "argument":
        return str(parameter.name)
    name: str = next(option for option in parameter.opts if option.startswith("--"))
    return name.lstrip("-").replace("-", "_")


def _setting(parameter: Any) -> Setting:
    kind = parameter.type_descriptor.annotation
    several = typing.get_origin(kind) is list
    default = plain(parameter.default)
    return Setting(
        name=key_of(parameter),
        kind=typing.get_args(kind)[0] if several else kind,
        many=several,
        required=parameter.required,
        default=default,
        about=getattr(parameter, "help", None) or "",
        least=parameter.min,
        most=parameter.max,
    )


def arguments_of(step: Step) -> list[str]:
    """Return a step as the words that its command parses."""
    options: list[str] = []
    positional: list[str] = []
    for parameter in _settable(_commands()[step.kind]):
        if (value := step.given.get(key_of(parameter))) is None:
            continue
        values = value if parameter.multiple else [value]
        if parameter.param_type_name == "argument":
            positional += [str(one) for one in (value if isinstance(value, list) else [value])]
        elif parameter.is_flag:
            names = parameter.opts if value else parameter.secondary_opts
            options += names[:1]
        elif parameter.nargs == 2:
            options += [parameter.opts[-1], *map(str, value)]
        else:
            name = parameter.opts[-1] if parameter.name == "param" else parameter.opts[0]
            options += [f"{name}={one}" for one in values]
    return [*options, "--", *positional]


def execute(step: Step, manners: list[str], *, overwrite: bool) -> None:
    """Do a step: call its command in this process.

    Args:
        step: what is done.
        manners: `-q` or `-v`, as `run` was called.
        overwrite: whether it may overwrite results.

    Raises:
        RobustError: as the command does.
    """
    command = _commands()[step.kind]
    names = {parameter.name for parameter in command.params}
    extra = ["--force"] if overwrite and "force" in names and step.kind != "train" else []
    extra += ["--resume"] if step.kind == "train" else []
    command.main(
        [*manners, *extra, *arguments_of(step)],
        standalone_mode=False,
        prog_name=f"tfrobust {step.kind}",
    )


def plugin_options(step: Step) -> dict[str, dict[str, Any]]:
    """Return the options of the plugins that a step names: their defaults, and what is given.

    Raises:
        UsageError: an option that none of them has, or a value out of range.
    """
    if step.settings.get("strategy") == "multiworker":
        raise UsageError(
            f"{step.place}.strategy: several machines are started by `tfrobust train`; choose "
            "another strategy, or train with that command first"
        )
    members, params = _members(step), _parameters(step)
    return {
        f"{kind}/{name}": _options(
            step, kind, name, {**members.get(name, {}), **params.of(name, kind)}
        )
        for kind, name in _plugins(step)
    }


def _members(step: Step) -> Mapping[str, Mapping[str, Any]]:
    """Return the attacks of the suite that a step names, with what the suite gives them."""
    suite = step.settings.get("suite")
    return {} if suite in (None, CORRUPTIONS) else suites.options_in(suite)


def _options(step: Step, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of one plugin: its defaults, and what is given.

    Raises:
        UsageError: it has no such option, or a value is out of range.
    """
    from tfrobust.data.names import options_of

    plugin = find(kind, name).load()
    defaults = {option.name: _recorded(option.default) for option in options_of(kind, plugin)}
    for key in given:
        if key not in defaults:
            raise UsageError(
                f"{step.place}.param: {kind}/{name} has no option {key!r}"
                f"{did_you_mean(key, defaults)}"
            )
    if kind in _BUILT:
        try:
            build(plugin, name, given)
        except UsageError as error:
            raise UsageError(f"{step.place}.param: {error}") from error
    return {**defaults, **given}


def scenario_of(step: Step) -> Any:
    """Return the scenario that a step looks at; `None` where it names none."""
    name = step.settings.get("scenario")
    if not name:
        return None
    from tfrobust.data.names import open_scenario

    return open_scenario(name, _parameters(step).all(), seed=step.settings.get("seed") or 0)


def _plugins(step: Step) -> list[tuple[str, str]]:
    """Return kind and name of the plugins whose options a step may give, as its command has it."""
    named = [plugin for plugin in plugins_of(step) if plugin[0] != "suites"]
    return list(dict.fromkeys([*named, *(("attacks", name) for name in _members(step))]))


def _parameters(step: Step) -> Parameters:
    return Parameters(step.settings.get("param"), _plugins(step))


def _recorded(default: Any) -> Any:
    value = plain(default)
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if finite and isinstance(value, str | int | float | list | None) else repr(value)


def config_of(context: Any) -> str:
    """Return what was typed after a command as a section of an experiment file."""
    given: Mapping[str, Any] = {
        key_of(parameter): plain(context.params[parameter.name])
        for parameter in _settable(context.command)
        if context.get_parameter_source(parameter.name).name == "COMMANDLINE"
    }
    return section_of(context.command.name, given)
