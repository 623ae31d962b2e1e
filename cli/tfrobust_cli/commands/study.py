"""`tfrobust study`: published tables rebuilt, beside the papers' figures and claims."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from tfrobust.errors import UsageError
from tfrobust_cli.app import App
from tfrobust_cli.arguments import Parameters
from tfrobust_cli.console import Reporter, start_tensorflow, stderr
from tfrobust_cli.options.declared import Json
from tfrobust_cli.options.study import (
    OverviewOut,
    StudyName,
    StudyOnly,
    StudyOut,
    StudyResults,
    StudyScale,
    StudyScenarios,
    StudyStale,
    StudyWeights,
)
from tfrobust_cli.options.trackers import (
    TrackerNames,
    built_trackers,
    tracked,
    tracker_plugins,
)
from tfrobust_cli.options.worker import Spread, uses_workers
from tfrobust_cli.tables.study import (
    as_records,
    print_claims,
    print_costs,
    print_stale,
    print_study,
)

app = App(help="Reproduce published tables: list, show, run, report.")


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
def show(name: StudyName, results: StudyResults = None, as_json: Json = False) -> None:
    """Show a study's question, networks and claims, what each scale costs, and stale cells.

    Example: [bold]tfrobust study show quantized-dropout[/]
    """
    from tfrobust.study.results.remaining import costs, stale_cells
    from tfrobust.study.schema.files import find_study, results_folder

    study, path = find_study(name)
    results = results or results_folder(path)
    lines = [vars(cost) for cost in costs(study, results)]
    stale = stale_cells(study, results)
    if as_json:
        declared = study.model_dump(mode="json", by_alias=True)  # by the keys of its file
        print(json.dumps({**declared, "costs": lines, "stale": stale}, indent=1))
    else:
        print_study(study)
        print_costs(lines, named=False)
        for scale, names in stale.items():
            print_stale(scale, names)


@app.command("run")
@uses_workers
def run(
    name: StudyName,
    scale: StudyScale,
    out: StudyOut,
    results: StudyResults = None,
    only: StudyOnly = None,
    stale: StudyStale = False,
    param: StudyScenarios = None,
    weights: StudyWeights = None,
    tracker: TrackerNames = None,
    as_json: Json = False,
    *,
    spread: Spread,
) -> None:
    """Compute the unfinished cells, and write report.md and report.html.

    Finished cells are never computed twice: the same command continues after an interruption,
    also on another machine. What data and weights are missing is said before anything starts.

    Example: [bold]tfrobust study run quantized-dropout --scale smoke --out runs/study[/]

    Example: [bold]tfrobust study run contextual-fusion --scale paper --out runs/fusion
    -p coco.path=data/coco --weights objects=resnet18.pth[/]
    """
    from tfrobust.study.schema.files import find_study

    find_study(name)[0].scale(scale)  # a mistake shows at once
    spread.prepare()
    start_tensorflow()
    from tfrobust.study.cells.given import scenarios_of
    from tfrobust.study.rebuild import StudySettings
    from tfrobust.study.rebuild import run as run_study
    from tfrobust.study.tracked import track_study

    study = find_study(name)[0]
    params = Parameters(param, [*scenarios_of(study, scale), *tracker_plugins(tracker)])
    told = {"study": study.name, "scale": scale, "only": only, "param": param}
    trackers = built_trackers(tracker, params)
    settings = StudySettings(
        study=name,
        scale=scale,
        results=results,
        only=tuple(only or ()),
        stale=stale,
        options=params.all(),
        weights=tuple(weights or ()),
    )
    # A training is long: none waits behind another while a worker has nothing to do.
    with (
        Reporter() as reporter,
        tracked(trackers, "study", out.name, told, reporter.log) as tracking,
        spread.executor(out, reporter, in_flight=1) as executor,
    ):
        done = run_study(settings, out, progress=reporter, log=reporter.log, executor=executor)
        track_study(tracking, done)
    if as_json:
        print(json.dumps({"claims": as_records(done.claims), "report": str(done.report)}, indent=1))
    else:
        print_claims(done.claims)
        print(done.report)


@app.command("report")
def report(
    out: OverviewOut = Path("runs/studies"),
    results: StudyResults = None,
    as_json: Json = False,
) -> None:
    """Write one page over all studies, claim by claim, from their finished cells.

    Nothing is computed. The page links to the studies' own reports.

    Example: [bold]tfrobust study report --out runs/studies[/]
    """
    from tfrobust.study.results.overview import overviewed, write_overview

    shown = overviewed(results, broken=_print_broken)
    page = write_overview(shown, out)
    if as_json:
        studies = [
            {"study": one.study.name, "scale": one.scale, "claims": as_records(one.claims)}
            for one in shown
        ]
        print(json.dumps({"studies": studies, "report": str(page)}, indent=1))
        return
    for one in shown:
        print(f"{one.study.name}, {one.scale}: {one.counts}")
    print(page)


def add_to(parent: typer.Typer) -> None:
    """Register the commands."""
    parent.add_typer(app, name="study")
