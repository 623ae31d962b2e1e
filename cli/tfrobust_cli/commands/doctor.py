"""`tfrobust doctor`: what works here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from tfrobust.errors import printable
from tfrobust.registry import entries
from tfrobust_cli.arguments import Json
from tfrobust_cli.commands.plugins import checked
from tfrobust_cli.console import start_tensorflow, stdout

_SECURITY = (
    "files are checked before anything of them runs, but TensorFlow is no sandbox: open models "
    "from strangers only in a container (docs/security.md)"
)


def doctor(as_json: Json = False) -> None:
    """Report versions, packages, devices, plugins and data; exit with 1 if something is broken.

    Example: [bold]tfrobust doctor[/]
    """
    start_tensorflow()
    import tensorflow as tf

    from tfrobust.environment import environment
    from tfrobust.store.models import store_root, stored
    from tfrobust.study.schema.files import broken_studies, studies
    from tfrobust_cli.dependencies import broken_packages, needed_packages

    found = [checked(entry) for entry in entries()]
    broken = [entry for entry in found if entry.problem]
    packages, unreadable = broken_packages(), broken_studies()
    report: dict[str, Any] = {
        "versions": environment(),
        "packages": {"needed": len(needed_packages()), "broken": packages},
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "keras_2": not tf.keras.__name__.startswith("keras."),
        "plugins": {"working": len(found) - len(broken), "broken": list(map(_line, broken))},
        "studies": {"installed": list(studies()), "broken": unreadable},
        "data": _data(),
        "security": _SECURITY,
        "store": {"folder": str(store_root()), "classifiers": stored()},
    }
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    if broken or packages or unreadable:
        raise typer.Exit(1)


def _line(entry: Any) -> str:
    return f"{entry.kind}/{entry.name} ({entry.distribution}, {entry.target}): {entry.problem}"


def _data() -> dict[str, Any]:
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    prepared = sorted(p.parent.parent.name for p in folder.glob("*/*/dataset_info.json"))
    return {"folder": str(folder), "prepared": prepared}


def _print(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False)
    for name, version in report["versions"].items():
        table.add_row(name, version)
    table.add_row("devices", ", ".join(report["devices"]))
    table.add_row(
        "tf.keras",
        "Keras 2 (tf_keras)"
        if report["keras_2"]
        else "[red]Keras 3: CleverHans's SPSA and Larq need TF_USE_LEGACY_KERAS=1[/]",
    )
    table.add_row("packages", f"{report['packages']['needed']} needed")
    _add_broken(table, report["packages"])
    table.add_row("plugins", f"{report['plugins']['working']} work")
    _add_broken(table, report["plugins"])
    table.add_row("studies", _list(report["studies"]["installed"]))
    _add_broken(table, report["studies"])
    table.add_row("data", f"{report['data']['folder']}: {_list(report['data']['prepared'])}")
    table.add_row("store", f"{report['store']['folder']}: {_list(report['store']['classifiers'])}")
    table.add_row("security", _SECURITY)
    stdout().print(table)


def _add_broken(table: Any, of: dict[str, Any]) -> None:
    from rich.markup import escape

    for line in of["broken"]:
        table.add_row("[red]broken[/]", escape(printable(line)))


def _list(names: list[str]) -> str:
    from rich.markup import escape

    return escape(printable(", ".join(names) or "nothing yet"))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("doctor")(doctor)
