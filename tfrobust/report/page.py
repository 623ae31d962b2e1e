"""One self-contained HTML page: tables, curves, images. No network; whole without script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import StoreError
from tfrobust.files.atomic import atomic_write
from tfrobust.files.output_folders import written_together
from tfrobust.files.reading import UnreadableError
from tfrobust.report.adaptive import adaptive_table
from tfrobust.report.certificates import between_table, chance_lines, contradiction_lines
from tfrobust.report.charts.panels import geometry, panels
from tfrobust.report.charts.tiles import allowance, perturbation_tile, tile
from tfrobust.report.corruptions import (
    corruption_headline,
    corruption_table,
    corruption_tiles,
    heat_tables,
    severity_panels,
)
from tfrobust.report.detectors import histograms
from tfrobust.report.diagnosis import signs_table
from tfrobust.report.explorer import answers, class_name, confusions, fate_table
from tfrobust.report.fates import class_tables
from tfrobust.report.headline import headline
from tfrobust.report.queries import query_figures, query_table
from tfrobust.report.reattack import reattack_table
from tfrobust.report.tables import (
    accuracy_table,
    attack_title,
    cost_table,
    detector_table,
    scenario_title,
)
from tfrobust.report.templates import html_templates
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.outcome_checks import check_outcomes
from tfrobust.results.outcomes import OUTCOMES, Outcomes
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.run_files import (
    OLDER_FILES,
    RUN_FILES,
    Evaluated,
    check_one_run,
    discard_partial,
    read_results,
    write_results,
)

_TILES = 6  # images a row of the grid
_FEW_TILES, _MANY_GRIDS = 4, 12  # images of a row on a page of more grids than that


def write_report(folder: Path) -> Path:
    """Write `report.html` from a run folder's `results.json` and outcomes.

    Returns:
        The page.

    Raises:
        StoreError: a file is missing, damaged or of an older version, two are of different runs, or
            the disk refuses.
    """
    results = read_results(folder)
    outcomes = Outcomes.read(folder)
    check_one_run(folder, results, outcomes)
    page = folder / "report.html"
    try:
        check_outcomes(results, outcomes)
        html = render(results, outcomes)  # reads columns that no check has read
    except UnreadableError as error:
        raise StoreError(f"{folder / OUTCOMES}: {error}; evaluate again") from error
    atomic_write(page, lambda beside: beside.write_text(html, encoding="utf-8"))
    return page


def write_run(
    folder: Path, evaluated: Evaluated, more: Callable[[Path], None] | None = None
) -> None:
    """Write `results.json`, the outcomes and `report.html` into an existing folder, together.

    They take the place of another run's, of which none is left beside them. What an unfinished run
    keeps is removed, unless the results are incomplete.

    Args:
        folder: of the run.
        evaluated: what is written.
        more: writes further files of the run into the folder that it is given.

    Raises:
        StoreError: the disk refuses; another run's files are then still there.
    """
    with written_together(folder, (*RUN_FILES, *OLDER_FILES)) as beside:
        write_results(beside, evaluated.results, evaluated.outcomes)
        if more:
            more(beside)
        write_report(beside)
    if not evaluated.results.incomplete:
        discard_partial(folder)


def render(results: Results, outcomes: Outcomes) -> str:
    """Return the page; everything that came from outside is escaped."""
    count = sum(len({a.name for a in evaluation.attacks}) for evaluation in results.evaluations)
    grids = [
        grid
        for number, evaluation in enumerate(results.evaluations)
        for grid in image_grids(number, evaluation, outcomes, of=count)
    ]
    corrupted = bool(results.corruptions)
    further = (between_table(results), adaptive_table(results), reattack_table(results))
    more = [table for table in further if table]
    asked = query_table(results)
    attacked = [accuracy_table(results), *more, cost_table(results)]
    return (
        html_templates()
        .get_template("page.html.j2")
        .render(
            title=scenario_title(results.evaluations[0]),
            results=results,
            evaluations=results.unshifted,
            tables=[corruption_table(results)] if corrupted else attacked,
            certified=any(evaluation.certificates for evaluation in results.evaluations),
            warm=any(
                attack.continued_from is not None
                for evaluation in results.evaluations
                for attack in evaluation.attacks
            ),
            contradictions=contradiction_lines(results),
            chances=chance_lines(results),
            heat=heat_tables(results) if corrupted else [],
            severities=severity_panels(results) if corrupted else [],
            tiles=corruption_tiles(results, outcomes) if corrupted else [],
            panels=panels(results, outcomes),
            area=geometry(),
            headline=corruption_headline(results) if corrupted else headline(results, outcomes),
            classes=[] if corrupted else class_tables(results, outcomes),
            fates=None if corrupted else fate_table(results, outcomes),
            confusions=[] if corrupted else confusions(results, outcomes),
            detectors=detector_table(results)
            if any(e.detectors for e in results.evaluations)
            else None,
            histograms=histograms(results, outcomes),
            queries=asked,
            query_figures=query_figures(results) if asked else [],
            grids=grids,
            diagnoses=[
                signs_table(evaluation.signs, evaluation.classifier.name)
                for evaluation in results.evaluations
                if evaluation.signs
            ],
        )
    )


def image_grids(
    number: int, evaluation: Evaluation, outcomes: Outcomes, *, of: int
) -> list[dict[str, Any]]:
    """Return a grid of images for each attack, at the middle one of its budgets.

    Args:
        number: of the evaluation in its run, from 0.
        evaluation: itself.
        outcomes: of the run.
        of: how many grids the page has: the more, the fewer and smaller images.
    """
    by_name: dict[str, list[tuple[int, AttackResult]]] = {}
    for k, attack in enumerate(evaluation.attacks):
        by_name.setdefault(attack.name, []).append((k, attack))
    chosen = [lines[len(lines) // 2] for lines in by_name.values()]
    return [
        {
            "title": f"{evaluation.classifier.name} under {attack_title(attack)}",
            "cells": _cells(number, k, outcomes, evaluation.classifier.class_names, of),
        }
        for k, attack in chosen
    ]


def _cells(
    number: int, k: int, outcomes: Outcomes, names: Sequence[str], grids: int
) -> list[dict[str, Any]]:
    examples, cells = outcomes.examples, []
    tiles = _FEW_TILES if grids > _MANY_GRIDS else _TILES
    most = allowance(grids * tiles * 3)
    indices = examples["example_index"]
    pairs = zip(examples["example_images"], examples[f"e{number}_example_a{k}"], strict=True)
    labels, predicted = outcomes.column("label"), outcomes.column(f"e{number}_clean")
    attacked = outcomes.row(number, k, "prediction")
    shown = enumerate(list(zip(indices, pairs, strict=True))[:tiles])
    for example, (i, (clean, adversarial)) in shown:
        label, before, after = int(labels[i]), int(predicted[i]), int(attacked[i])
        cells.append(
            {
                "clean": tile(clean, most),
                "change": perturbation_tile(clean, adversarial, most),
                "largest": float(np.abs(np.nan_to_num(adversarial - clean)).max()),
                "adversarial": tile(np.nan_to_num(adversarial), most),
                "label": class_name(label, names),
                "before": class_name(before, names),
                "after": class_name(after, names),
                "answers": answers(number, k, example, outcomes, names),
                "state": "wrong" if before != label else "broken" if after != label else "held",
            }
        )
    return cells
