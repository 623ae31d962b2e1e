"""`tfrobust study`: published tables rebuilt, beside the papers' figures and claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.console import Reporter, start_tensorflow, stderr
from tfrobust_cli.options import Json
from tfrobust_cli.study_tables import print_claims, print_costs, print_study
from tfrobust_cli.worker_options import Spread, uses_workers

_Name = Annotated[str, typer.Argument(help="A study by name (see `study list`), or a .toml file.")]
_Results = Annotated[
    Path | None,
    typer.Option(help="Folder of finished cells; default: the study's results/."),
]

app = typer.Typer(help="Reproduce published tables: list, show, run.")


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """List the studies and what each scale costs.

    Example: [bold]tfrobust study list[/]
    """
    from tfrobust.study.results.remaining import all_costs

    costs = all_costs(broken=_print_broken)
    lines = [{"study": study.name, "title": study.title, **vars(cost)} for study, cost in costs]
    if as_json:
        print(json.dumps(lines, indent=1))
    else:
        print_costs(lines, named=True)


def _print_broken(error: UsageError) -> None:
    stderr().print(f"broken: {error}", markup=False, highlight=False, soft_wrap=True)


@app.command("show")
def show(name: _Name, results: _Results = None, as_json: Json = False) -> None:
    """Show a study's question, networks and claims, and what each scale costs.

    Example: [bold]tfrobust study show quantized-dropout[/]
    """
    from tfrobust.study.results.remaining import costs
    from tfrobust.study.schema.files import find_study, results_folder

    study, path = find_study(name)
    lines = [vars(cost) for cost in costs(study, results or results_folder(path))]
    if as_json:
        declared = study.model_dump(mode="json", by_alias=True)  # by the keys of its file
        print(json.dumps({**declared, "costs": lines}, indent=1))
    else:
        print_study(study)
        print_costs(lines, named=False)


@app.command("run")
@uses_workers
def run(
    name: _Name,
    scale: Annotated[str, typer.Option(help="paper, laptop or smoke: see `study show`.")],
    out: Annotated[Path, typer.Option(help="Folder for the report and the trained networks.")],
    results: _Results = None,
    as_json: Json = False,
    *,
    spread: Spread,
) -> None:
    """Compute the unfinished cells, and write report.md and report.html.

    Finished cells are never computed twice: the same command continues after an interruption,
    also on another machine.

    Example: [bold]tfrobust study run quantized-dropout --scale smoke --out runs/study[/]
    """
    spread.prepare()
    start_tensorflow()
    from tfrobust.study.rebuild import StudySettings
    from tfrobust.study.rebuild import run as run_study

    settings = StudySettings(study=name, scale=scale, results=results)
    # A training is long: none waits behind another while a worker has nothing to do.
    with Reporter() as reporter, spread.executor(out, reporter, in_flight=1) as executor:
        done = run_study(settings, out, progress=reporter, log=reporter.log, executor=executor)
    if as_json:
        claims = [{"claim": claim.text, "holds": claim.holds} for claim in done.claims]
        print(json.dumps({"claims": claims, "report": str(done.report)}, indent=1))
    else:
        print_claims(done.claims)
        print(done.report)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="study")
