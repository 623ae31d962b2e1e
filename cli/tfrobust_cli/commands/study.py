"""`tfrobust study`: published tables rebuilt, beside the papers' figures and claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfrobust_cli.arguments import Json
from tfrobust_cli.console import Reporter, start_tensorflow, stdout

if TYPE_CHECKING:
    from tfrobust.study.claims import Claimed

_Name = Annotated[str, typer.Argument(help="A study in studies/, or a .toml file.")]
_Results = Annotated[
    Path | None,
    typer.Option(help="Where finished cells are kept; results/ beside the study if not given."),
]
_HOLDS = {
    True: "[green]holds[/]",
    False: "[red]does not hold[/]",
    None: "[yellow]not yet known[/]",
}

app = typer.Typer(help="Rebuild published tables: list, show what they cost, run.")


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """List the studies there are, with what each scale costs.

    Example: [bold]tfrobust study list[/]
    """
    from tfrobust.study.cost import costs
    from tfrobust.study.files import find_study, studies

    lines: list[dict[str, Any]] = []
    for name in studies():
        study, path = find_study(name)
        lines += [
            {"study": name, "title": study.title, **vars(cost)}
            for cost in costs(study, _results(path))
        ]
    if as_json:
        print(json.dumps(lines, indent=1))
        return
    _print_costs(lines, "study")


@app.command("show")
def show(name: _Name, results: _Results = None, as_json: Json = False) -> None:
    """Show what a study asks, of what, and what each scale costs before it is started.

    Example: [bold]tfrobust study show quantized-dropout[/]
    """
    from rich.markup import escape

    from tfrobust.study.cost import costs
    from tfrobust.study.files import find_study

    study, path = find_study(name)
    found = [vars(cost) for cost in costs(study, results or _results(path))]
    if as_json:
        print(json.dumps({**study.model_dump(mode="json"), "costs": found}, indent=1))
        return
    console = stdout()
    console.print(f"[bold]{escape(study.title)}[/]")
    console.print(study.about.strip() + "\n", markup=False, highlight=False)
    networks = ", ".join(each.title for each in study.networks.values())
    conditions = ", ".join(each.title for each in study.conditions.values())
    console.print(f"networks: {networks}\nconditions: {conditions}", markup=False, highlight=False)
    for number, claim in enumerate(study.claims, 1):
        console.print(f"claim {number}: {claim.text}", markup=False, highlight=False)
    _print_costs(found, "scale")


@app.command("run")
def run(
    name: _Name,
    scale: Annotated[str, typer.Option(help="paper, laptop or smoke: see `study show`.")],
    out: Annotated[Path, typer.Option(help="For the report, and the networks it trains.")],
    results: _Results = None,
    as_json: Json = False,
) -> None:
    """Compute what is not finished, and write report.md and report.html.

    Finished cells are never computed twice: the same command goes on after an interruption, on
    another machine too.

    Example: [bold]tfrobust study run quantized-dropout --scale smoke --out runs/study[/]
    """
    start_tensorflow()
    from tfrobust.study.claims import check_claims
    from tfrobust.study.files import find_study
    from tfrobust.study.report import write_study
    from tfrobust.study.run import run_study

    study, path = find_study(name)
    kept = results or _results(path)
    with Reporter() as reporter:
        finished = run_study(study, scale, out, kept, progress=reporter, say=reporter.say)
    write_study(study, scale, finished, out, kept / study.name / scale)
    claims = check_claims(study, finished)
    if as_json:
        found = [{"claim": each.text, "holds": each.holds} for each in claims]
        print(json.dumps({"claims": found, "report": str(out / "report.html")}, indent=1))
    else:
        _print_claims(claims)
        print(out / "report.html")


def _results(study_file: Path) -> Path:
    """Return `results/` beside the study; under the current folder if it lies in a package."""
    beside = study_file.parent
    return (beside if beside.parent.name != "study" else Path("studies")) / "results"


def _print_costs(lines: list[dict[str, Any]], first: str) -> None:
    from rich.table import Table

    named = first == "study"
    columns = (["study"] if named else []) + ["scale", "cells", "finished", "networks to train"]
    table = Table(*columns, "minutes in all", "minutes left")
    for line in lines:
        cells = [line["scale"], line["cells"], line["finished"], line["trainings"]]
        minutes = [f"{line['minutes']:.0f}", f"{line['left']:.0f}"]
        table.add_row(*([line["study"]] if named else []), *map(str, cells), *minutes)
    console = stdout()
    console.print(table)
    console.print("minutes: estimates for two cores", highlight=False)


def _print_claims(claims: list[Claimed]) -> None:
    from rich.markup import escape

    console = stdout()
    for number, claim in enumerate(claims, 1):
        console.print(f"{number}. {_HOLDS[claim.holds]}: {escape(claim.text)}", highlight=False)
        for check in claim.checks:
            numbers = ", ".join(f"{name} {number}" for name, number in check.numbers.items())
            console.print(
                f"   {_HOLDS[check.holds]}: {escape(f'{check.what}. {numbers}')}", highlight=False
            )


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="study")
