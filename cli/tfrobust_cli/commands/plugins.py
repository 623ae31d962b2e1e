"""`tfrobust plugins`: what is installed, and the options of each."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.errors import UsageError
from tfrobust.registry import Entry, checked, entries, find
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options import Json

if TYPE_CHECKING:
    from tfrobust.adaptive import AdaptiveAttack


def plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="models, scenarios, shifts, attacks, defenses, detectors, certifiers, suites; or "
            "'show'."
        ),
    ] = None,
    plugin: Annotated[str | None, typer.Argument(help="With 'show': KIND/NAME.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Import every plugin and report those that fail.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List plugins, or show the options of one.

    Example: [bold]tfrobust plugins attacks[/], [bold]tfrobust plugins show attacks/pgd[/]
    """
    if kind == "show":
        _show(plugin, as_json)
        return
    if plugin is not None:
        raise UsageError(
            f"plugins: unexpected {plugin!r}; did you mean `plugins show {kind}/{plugin}`?"
        )
    listed = entries(kind)
    if check:
        start_tensorflow()
        listed = [checked(entry) for entry in listed]
    if as_json:
        print(json.dumps([dataclasses.asdict(entry) for entry in listed], indent=1))
    else:
        _list(listed)


def _list(listed: list[Entry]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("kind", "name", "from", "state")
    for entry in listed:
        problem = escape(f"{entry.problem} ({entry.target})")
        state = f"[red]broken[/]: {problem}" if entry.problem else "ok"
        table.add_row(entry.kind, entry.name, entry.distribution, state)
    stdout().print(table)


def _show(plugin: str | None, as_json: bool) -> None:
    kind, slash, name = (plugin or "").partition("/")
    if not slash:
        raise UsageError(f"plugins show: expected KIND/NAME, e.g. attacks/pgd; received: {plugin}")
    entry = find(kind, name)
    start_tensorflow()
    from tfrobust.data.names import options_of

    cls = entry.load()
    options = options_of(kind, cls)
    about = inspect.cleandoc(cls.__doc__ or "")
    adaptive = _adaptive(cls) if kind == "defenses" else None
    if as_json:
        described: dict[str, Any] = {**dataclasses.asdict(entry), "about": about}
        described["options"] = [dataclasses.asdict(option) for option in options]
        if adaptive is not None:
            described["adaptive"] = [dataclasses.asdict(attack) for attack in adaptive]
        print(json.dumps(described, indent=1, default=str))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table("option", "type", "default", "range", "what", title=f"{kind}/{name}")
    for option in options:
        table.add_row(
            option.name, escape(option.type), str(option.default), option.range, escape(option.help)
        )
    console = stdout()
    console.print(about, markup=False, highlight=False)
    console.print(table if options else "It has no options.")
    for attack in adaptive or ():
        console.print(_about_attack(attack), markup=False, highlight=False)


def _adaptive(cls: Any) -> Sequence[AdaptiveAttack]:
    """Return the adaptive attacks of a defence with its default options; of required ones none."""
    try:
        return tuple(cls().adaptive)
    except (TypeError, ValueError, UsageError):  # an option without a default
        return ()


def _about_attack(attack: AdaptiveAttack) -> str:
    """Return an adaptive attack in a line."""
    options = " ".join(f"-p {name}={value}" for name, value in attack.options.items())
    norms = f" (also in {', '.join(attack.norms)})" if attack.norms else ""
    named = " ".join(filter(None, [f"adaptive attack: {attack.attack}", options]))
    return f"{named}{norms}: {attack.why} [{attack.source}]"


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("plugins")(plugins)
