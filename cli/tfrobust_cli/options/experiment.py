"""Commands as sections of an experiment file, and back: both from the options that they declare."""

from __future__ import annotations

import functools
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.experiment.reading import plugins_of
from tfrobust.experiment.schema import ORDER, Setting, Step, StepKind
from tfrobust.experiment.writing import plain, section_of
from tfrobust.registry import find
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.options.worker import OWN

# How a command prints, and what `run` decides itself: whether it goes on or overwrites.
_LEFT_OUT = {
    "quiet", "verbose", "no_color", "help_all", "as_json", "resume", "force",
    "print_config",
}  # fmt: skip


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
        UsageError: an option that none of them has; not where a suite brings further plugins.
    """
    if step.settings.get("strategy") == "multiworker":
        raise UsageError(
            f"{step.place}.strategy: several machines are started by `tfrobust train`; choose "
            "another strategy, or train with that command first"
        )
    plugins = plugins_of(step)
    params = _parameters(step, plugins)
    return {
        f"{kind}/{name}": _options(step, kind, name, params.of(name, kind))
        for kind, name in plugins
        if kind != "suites"
    }


def _options(step: Step, kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of one plugin: its defaults, and what is given."""
    from tfrobust.data.names import options_of

    defaults = {
        option.name: _recorded(option.default)
        for option in options_of(kind, find(kind, name).load())
    }
    for key in given:
        if key not in defaults:
            raise UsageError(
                f"{step.place}.param: {kind}/{name} has no option {key!r}"
                f"{did_you_mean(key, defaults)}"
            )
    return {**defaults, **given}


def scenario_of(step: Step) -> Any:
    """Return the scenario that a step looks at; `None` where it names none."""
    name = step.settings.get("scenario")
    if not name:
        return None
    from tfrobust.data.names import open_scenario

    params = _parameters(step, plugins_of(step))
    return open_scenario(name, params.all(), seed=step.settings.get("seed") or 0)


def _parameters(step: Step, plugins: list[tuple[str, str]]) -> Parameters:
    """Return the `-p` options; with a suite those of the scenario: others may be of its members."""
    if step.settings.get("suite") or step.settings.get("adaptive"):
        own = [plugin for plugin in plugins if plugin[0] in ("scenarios", "shifts")]
        names = tuple(f"{name}." for _, name in own)
        given = [pair for pair in step.settings.get("param") or [] if pair.startswith(names)]
        return Parameters(given, own)
    return Parameters(step.settings.get("param"), plugins)


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
