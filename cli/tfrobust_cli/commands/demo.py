"""`tfrobust demo`: train, attack, evaluate and export on scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import typer

from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.options.declared import Force, Json, Out
from tfrobust_cli.tables.results import print_results


def demo(out: Out = Path("runs/demo"), force: Force = False, as_json: Json = False) -> None:
    """Show the whole tool in two minutes, without a download.

    Trains a plain LeNet and an adversarially trained one, attacks both, compares them, exports
    both to saved_models/ and writes a report. An earlier demo in the same folder is replaced.

    Example: [bold]tfrobust demo --out runs/demo[/]
    """
    start_tensorflow()
    from tfrobust.demo import run_demo

    with Reporter() as reporter:
        demonstration = run_demo(out, force=force, progress=reporter, log=reporter.log)
    print_results(demonstration.results, as_json=as_json, out=out)
    if not as_json:
        for folder in demonstration.exported:
            print(f"exported {folder}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo)
