"""`tfrobust run`: one file → everything that it asks for, each step once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust_cli.console import Verbosity, log, start_tensorflow, verbosity

_File = Annotated[Path, typer.Argument(help="An experiment file.")]
_Locked = Annotated[
    bool, typer.Option("--locked", help="Repeat what the lock file says, by the same versions.")
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, in order; do nothing.")
]
_Schema = Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of such a file.")]
_Force = Annotated[bool, typer.Option("--force", help="Do all again, and overwrite results.")]


def run(
    file: _File = Path("experiment.toml"),
    locked: _Locked = False,
    dry_run: _DryRun = False,
    schema: _Schema = False,
    force: _Force = False,
) -> None:
    """Train, evaluate, diagnose, certify, check and export as one file says.

    Steps that are done already are not done again. What was done is written to a lock file beside
    the experiment: experiment.lock.json.

    Example: [bold]tfrobust run experiment.toml --dry-run[/]
    """
    from tfrobust.experiment.reading import read_experiment
    from tfrobust.experiment.schema import experiment_model
    from tfrobust_cli.options.experiment import execute, plugin_options, scenario_of, step_kinds

    kinds = step_kinds()
    if schema:
        print(json.dumps(experiment_model(kinds).model_json_schema(), indent=2))
        return
    experiment = read_experiment(file, kinds)
    if not dry_run:
        start_tensorflow()
    from tfrobust.experiment.running import Runner

    manners = {Verbosity.QUIET: ["-q"], Verbosity.VERBOSE: ["-v"]}.get(verbosity(), [])
    runner = Runner(
        experiment=experiment,
        execute=lambda step, overwrite: execute(step, manners, overwrite=overwrite),
        options=plugin_options,
        scenario=scenario_of,
        log=log,
        force=force,
    )
    if not dry_run:
        runner.run(locked=locked)
        return
    if locked:
        runner.check_lock()
    for number, (step, done) in enumerate(runner.planned(), 1):
        print(f"{number}. {step.title}: {'already done' if done else 'to do'}")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("run")(run)
