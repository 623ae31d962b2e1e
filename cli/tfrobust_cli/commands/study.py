"""`tfrobust study`: published tables rebuilt, beside the papers' figures and claims."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from tfrobust_cli.console import Reporter, start_tensorflow
from tfrobust_cli.options import Json
from tfrobust_cli.study_tables import print_claims, print_costs, print_study

_Name = Annotated[str, typer.Argument(help="A study in studies/, or a .toml file.")]
_Results = Annotated[
    Path | None,
    typer.Option(help="Where finished cells are kept; results/ beside the study if not given."),
]

app = typer.Typer(help="Rebuild published tables: list, show what they cost, run.")


@app.command("list")
def list_studies(as_json: Json = False) -> None:
    """List the studies there are, with what each scale costs.

    Example: [bold]tfrobust study list[/]
    """
    from tfrobust.study.results.remaining import costs
    from tfrobust.study.schema.files import find_study, studies

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
    print_costs(lines, named=True)


@app.command("show")
def show(name: _Name, results: _Results = None, as_json: Json = False) -> None:
    """Show what a study asks, of what, and what each scale costs before it is started.

    Example: [bold]tfrobust study show quantized-dropout[/]
    """
    from tfrobust.study.results.remaining import costs
    from tfrobust.study.schema.files import find_study

    study, path = find_study(name)
    found = [vars(cost) for cost in costs(study, results or _results(path))]
    if as_json:
        print(json.dumps({**study.model_dump(mode="json"), "costs": found}, indent=1))
        return
    print_study(study)
    print_costs(found, named=False)


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
    from tfrobust.study.cells.run import run_study
    from tfrobust.study.results.claims import check_claims
    from tfrobust.study.results.report import write_study
    from tfrobust.study.schema.files import find_study

    study, path = find_study(name)
    kept = results or _results(path)
    with Reporter() as reporter:
        typed = (
            f"tfrobust study run {shlex.quote(name)} --scale {scale} --out {shlex.quote(str(out))}"
        )
        typed += f" --results {shlex.quote(str(results))}" if results else ""
        finished = run_study(
            study, scale, out, kept, typed=typed, progress=reporter, say=reporter.say
        )
    write_study(study, scale, finished, out, kept / study.name / scale)
    claims = check_claims(study, finished)
    if as_json:
        found = [{"claim": each.text, "holds": each.holds} for each in claims]
        print(json.dumps({"claims": found, "report": str(out / "report.html")}, indent=1))
    else:
        print_claims(claims)
        print(out / "report.html")


def _results(study_file: Path) -> Path:
    """Return `results/` beside the study; under the current folder if it lies in the package."""
    import tfrobust

    package = Path(tfrobust.__file__).resolve().parent
    inside = study_file.resolve().is_relative_to(package)
    return (Path("studies") if inside else study_file.parent) / "results"


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="study")
