"""One cell: its network under its condition, as figures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.data.image_blocks import ImageBlocks
from tfrobust.data.reading import arrays
from tfrobust.environment.checkout import checkout
from tfrobust.environment.machine import machine_kind
from tfrobust.environment.versions import environment, threads
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.settings import Progress
from tfrobust.registry import create
from tfrobust.results.run_files import Evaluated
from tfrobust.scenario import Scenario
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.diagnosed import diagnosis_figures
from tfrobust.study.cells.exhibits import attacked_exhibits, exhibits, projections
from tfrobust.study.cells.footprint import footprint
from tfrobust.study.cells.measure import (
    evaluation_figures,
    found_figures,
    histograms,
    weight_figures,
)
from tfrobust.study.cells.networks import Networks, built
from tfrobust.study.cells.outcomes import claimed_outcomes
from tfrobust.study.cells.result_file import Result


def compute(
    cell: Cell,
    scenario: Scenario,
    models: Path,
    command: str,
    *,
    progress: Progress | None = None,
    revision: str | None = None,
) -> Result:
    """Measure one cell.

    Args:
        cell: to measure.
        scenario: the data it is tested on.
        models: the store that holds its networks, trained by `trainings.Trainings`.
        command: the command that asked for it.
        progress: called with how far the attacks are.
        revision: of the code that trained its networks and measures it; see `revision`.

    Returns:
        What is kept of the cell.
    """
    began = time.perf_counter()
    networks = Networks(cell, scenario, models)
    judged = networks.judged()
    evaluated = _evaluated(cell, scenario, judged, networks.attacked(judged), progress)
    figures = found_figures(judged) | weight_figures(judged) | evaluation_figures(cell, evaluated)
    if cell.condition.footprint:
        figures |= _footprints(cell, scenario, judged)
    if cell.condition.diagnosed:
        figures |= diagnosis_figures(cell, scenario, judged)
    return Result(
        study=cell.study.name,
        scale=cell.scale_name,
        network=cell.network_name,
        condition=cell.condition_name,
        seed=cell.seed,
        key=cell.key,
        figures=figures,
        histograms=histograms(cell, evaluated),
        exhibits=_exhibits(cell, scenario, judged, evaluated),
        seconds=round(time.perf_counter() - began, 1),
        command=command,
        versions=environment(),
        images=len(evaluated.outcomes),
        outcomes=claimed_outcomes(cell, evaluated, figures),
        revision=revision,
        threads=threads(),
        **checkout(),
        machine=machine_kind(),
    )


def attacks_of(cell: Cell) -> list[Attack]:
    """Return the cell's attacks: several together, or one for each value of its sweep."""
    if cell.condition.attack is None:
        return built("attacks", [cell.plugin(attack) for attack in cell.condition.attacks])
    attack, sweep = cell.plugin(cell.condition.attack), cell.condition.sweep
    if sweep is None:
        return built("attacks", [attack])
    return [
        create("attacks", attack.name, **{**attack.options, sweep.option: name})
        for name in sweep.names.values()
    ]


def _evaluated(
    cell: Cell,
    scenario: Scenario,
    judged: dict[str, Classifier],
    crafted_on: tuple[str, Classifier] | None,
    progress: Progress | None,
) -> Evaluated:
    condition = cell.condition
    return evaluate(
        judged,
        scenario,
        attacks_of(cell),
        limit=cell.images,
        crafted_on=crafted_on,
        baselines=(),
        detectors=built("detectors", [cell.plugin(plugin) for plugin in condition.detectors]),
        adaptive=() if condition.adaptive else None,
        certifiers=built("certifiers", [cell.plugin(plugin) for plugin in condition.certifiers]),
        watched=[condition.detected] if condition.detected else None,
        targets=condition.targets,
        seed=cell.seed,
        keep_images=bool(condition.projected) or condition.exhibits_attacked,
        progress=progress,
    )


def _footprints(cell: Cell, scenario: Scenario, judged: dict[str, Classifier]) -> dict[str, float]:
    tested = ImageBlocks(scenario, "test", cell.images)
    return {
        f"{view}.{name}": value
        for view, classifier in judged.items()
        for name, value in footprint(classifier, scenario, tested).items()
    }


def _exhibits(
    cell: Cell, scenario: Scenario, judged: dict[str, Classifier], evaluated: Evaluated
) -> dict[str, list[Any]]:
    """Return the images or features that the cell keeps for pictures."""
    condition = cell.condition
    if condition.exhibits_attacked:
        attacked = [by_attack[0] for by_attack in evaluated.adversarial]
        by_view = dict(zip(judged, attacked, strict=True))
        return attacked_exhibits(evaluated.images, by_view, condition.exhibits)
    if condition.exhibits:
        return exhibits(judged, *arrays(scenario, "test", condition.exhibits))
    if condition.projected:
        classifier = next(iter(judged.values()))  # the first view, as the first of `adversarial`
        labels = evaluated.outcomes.column("label")
        attacked_images = evaluated.adversarial[0][0]
        return projections(
            classifier, evaluated.images, attacked_images, labels, condition.projected
        )
    return {}
