"""`tfrobust export`: a classifier → TensorFlow Serving's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust_cli.arguments import Classifier, Json, StripSoftmax
from tfrobust_cli.console import start_tensorflow


def export(
    classifier: Classifier,
    folder: Annotated[Path, typer.Argument(help="Where FOLDER/VERSION is made.")],
    version: Annotated[
        int | None, typer.Option(help="A number; the next free one if not given.", min=1)
    ] = None,
    strip_softmax: StripSoftmax = False,
    as_json: Json = False,
) -> None:
    """Export a classifier as a SavedModel that needs nothing but TensorFlow.

    Example: [bold]tfrobust export d1 served/digits[/]
    """
    start_tensorflow()
    from tfrobust import store

    loaded = store.load(classifier, strip=strip_softmax)
    card = store.read_card(Path(loaded.source)) if Path(loaded.source).is_dir() else None
    target = folder / str(version) if version else store.next_version(folder)
    made = store.export(loaded, target, card=card)
    print(json.dumps({"path": str(made)}) if as_json else made)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("export")(export)
