"""`tfrobust plugins`: what is installed, and the options of each."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust.errors import UsageError, did_you_mean
from tfrobust.registry import Entry, checked, entries, find
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options.declared import Json
from tfrobust_cli.tables.summaries import summary

if TYPE_CHECKING:
    from tfrobust.adaptive import AdaptiveAttack


def plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="models, scenarios, shifts, attacks, defenses, detectors, certifiers, suites, "
            "trackers; or 'show' or 'search'."
        ),
    ] = None,
    plugin: Annotated[
        str | None, typer.Argument(help="With 'show': KIND/NAME; with 'search': a word.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Import every plugin and report those that fail.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List plugins, search them, or show the options of one.

    Example: [bold]tfrobust plugins attacks[/], [bold]tfrobust plugins search smoothing[/],
    [bold]tfrobust plugins show attacks/pgd[/]
    """
    if kind == "show":
        _show(plugin, as_json)
        return
    if kind == "search":
        _print(_found(plugin), as_json)
        return
    if plugin is not None:
        raise UsageError(
            f"plugins: unexpected {plugin!r}; did you mean `plugins show {kind}/{plugin}`?"
        )
    listed = entries(kind)
    if check:
        start_tensorflow()
        listed = [checked(entry) for entry in listed]
    _print(listed, as_json)


def _print(listed: list[Entry], as_json: bool) -> None:
    if as_json:
        records = [{**dataclasses.asdict(entry), "what": summary(entry)} for entry in listed]
        print(json.dumps(records, indent=1))
    else:
        _list(listed)


def _found(word: str | None) -> list[Entry]:
    """Return the plugins with a word in their name, then those with it in what they are.

    Raises:
        UsageError: no word, or no such plugin.
    """
    if not word:
        raise UsageError("plugins search: expected a word, such as smoothing; received: none")
    every, low = entries(None), word.lower()
    named = [entry for entry in every if low in entry.name.lower()]
    about = [entry for entry in every if entry not in named and low in summary(entry).lower()]
    if not named and not about:
        raise UsageError(
            f"plugins search: no plugin has {word!r} in its name or its line"
            f"{did_you_mean(word, [entry.name for entry in every])}"
        )
    return [*named, *about]


def _list(listed: list[Entry]) -> None:
    from rich.table import Table

    foreign = any(not entry.distribution.startswith("tfrobust ") for entry in listed)
    table = Table("name", "what", *(["from"] if foreign else []))
    for kind, several in itertools.groupby(listed, key=lambda entry: entry.kind):
        table.add_section()
        table.add_row(f"[bold]{kind}[/]")
        for entry in several:
            table.add_row(
                f"  {entry.name}", _what(entry), *([entry.distribution] if foreign else [])
            )
    stdout().print(table)


def _what(entry: Entry) -> str:
    """Return what a plugin is, or why it cannot be used."""
    from rich.markup import escape

    if entry.installs:
        return f"[yellow]unavailable[/]: {escape(entry.installs)}"
    if entry.problem:
        return f"[red]broken[/]: {escape(f'{entry.problem} ({entry.target})')}"
    return escape(summary(entry))


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
