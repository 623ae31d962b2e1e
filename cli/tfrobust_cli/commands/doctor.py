"""`tfrobust doctor`: what works here."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from tfrobust.errors import printable
from tfrobust.registry import entries
from tfrobust_cli.commands.plugins import checked
from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options import Json

_SECURITY = (
    "files are checked before anything of them runs, but TensorFlow is no sandbox: open models "
    "from strangers only in a container (docs/security.md)"
)


def doctor(as_json: Json = False) -> None:
    """Report versions, devices, plugins and data; leave with 1 if a plugin is broken.

    Example: [bold]tfrobust doctor[/]
    """
    start_tensorflow()
    import tensorflow as tf

    from tfrobust.environment import environment
    from tfrobust.store.models import store_root, stored

    found = [checked(entry) for entry in entries()]
    broken = [entry for entry in found if entry.problem]
    report: dict[str, Any] = {
        "versions": environment(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "keras_2": not tf.keras.__name__.startswith("keras."),
        "plugins": {"working": len(found) - len(broken), "broken": list(map(_line, broken))},
        "data": _data(),
        "security": _SECURITY,
        "store": {"folder": str(store_root()), "classifiers": stored()},
    }
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report)
    if broken:
        raise typer.Exit(1)


def _line(entry: Any) -> str:
    return f"{entry.kind}/{entry.name} ({entry.distribution}, {entry.target}): {entry.problem}"


def _data() -> dict[str, Any]:
    folder = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    prepared = sorted(p.parent.parent.name for p in folder.glob("*/*/dataset_info.json"))
    return {"folder": str(folder), "prepared": prepared}


def _print(report: dict[str, Any]) -> None:
    from rich.markup import escape
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
    table.add_row("plugins", f"{report['plugins']['working']} work")
    for line in report["plugins"]["broken"]:
        table.add_row("[red]broken[/]", escape(line))
    table.add_row("data", f"{report['data']['folder']}: {_list(report['data']['prepared'])}")
    table.add_row("store", f"{report['store']['folder']}: {_list(report['store']['classifiers'])}")
    table.add_row("security", _SECURITY)
    stdout().print(table)


def _list(names: list[str]) -> str:
    from rich.markup import escape

    return escape(printable(", ".join(names) or "nothing yet"))


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("doctor")(doctor)
