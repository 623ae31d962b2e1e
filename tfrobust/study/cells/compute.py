"""One cell: its network under its condition, as figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.environment import environment
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.settings import Progress
from tfrobust.evaluation.streams import Streamed
from tfrobust.registry import create
from tfrobust.results.records import AttackResult, DetectorResult
from tfrobust.results.run_files import Evaluated
from tfrobust.scenario import Scenario, arrays
from tfrobust.study.cells.cell import Cell
from tfrobust.study.cells.exhibits import attacked_exhibits, exhibits, projections
from tfrobust.study.cells.footprint import prices
from tfrobust.study.cells.networks import Networks, built
from tfrobust.study.cells.result_file import Result
from tfrobust.study.schema.checks import MEAN, NORMS


def compute(
    cell: Cell, scenario: Scenario, models: Path, typed: str, progress: Progress | None = None
) -> Result:
    """Measure one cell.

    Args:
        cell: which.
        scenario: its data.
        models: the store that holds its network, trained by `run.School`.
        typed: the command that asked for it.
        progress: told how far attacks are.
    """
    began = time.perf_counter()
    networks = Networks(cell, scenario, models)
    judged = networks.judged()
    evaluated = _evaluated(cell, scenario, judged, networks.attacked(judged), progress)
    figures = dict(_found(judged)) | dict(_weights(judged)) | _figures(cell, evaluated)
    if cell.condition.priced:
        images, labels = arrays(scenario, "test", cell.images)
        for view, classifier in judged.items():
            priced = prices(classifier, scenario, images, labels)
            figures |= {f"{view}.{name}": value for name, value in priced}
    return Result(
        study=cell.study.name,
        scale=cell.scale_name,
        network=cell.network_name,
        condition=cell.condition_name,
        seed=cell.seed,
        key=cell.key,
        figures=figures,
        histograms=_histograms(cell, evaluated),
        exhibits=_exhibits(cell, scenario, judged, evaluated),
        seconds=round(time.perf_counter() - began, 1),
        command=typed,
        versions=environment(),
    )


def _weights(judged: dict[str, Classifier]) -> Iterator[tuple[str, float]]:
    """Yield how much each stream weighs in the views that decide by several."""
    for view, classifier in judged.items():
        if isinstance(classifier, Streamed):
            for stream, weight in classifier.mean_weights().items():
                yield f"{view}.weight_{stream}", weight


def _found(judged: dict[str, Classifier]) -> Iterator[tuple[str, float]]:
    """Yield the numbers that the views' defences found when applied, such as label accuracy."""
    for view, classifier in judged.items():
        for defense in classifier.defenses:
            for name, value in defense.found.items():
                if isinstance(value, int | float):
                    yield f"{view}.{name}", float(value)


def _exhibits(
    cell: Cell, scenario: Scenario, judged: dict[str, Classifier], evaluated: Evaluated
) -> dict[str, list[Any]]:
    """Return what the cell keeps to be looked at."""
    condition = cell.condition
    if condition.shows_attacked:
        made = dict(zip(judged, (each[0] for each in evaluated.adversarial), strict=True))
        return attacked_exhibits(evaluated.images, made, condition.exhibits)
    if condition.exhibits:
        return exhibits(judged, *arrays(scenario, "test", condition.exhibits))
    if condition.projected:
        view, classifier = next(iter(judged.items()))
        attacked = evaluated.adversarial[list(judged).index(view)][0]
        labels = evaluated.outcomes["label"]
        return projections(classifier, evaluated.images, attacked, labels, condition.projected)
    return {}


def attacks_of(cell: Cell) -> list[Attack]:
    """Return the cell's attack, once for each value of its sweep."""
    if cell.condition.attack is None:
        return []
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
        detectors=built("detectors", [cell.plugin(each) for each in condition.detectors]),
        watched=[condition.detected] if condition.detected else None,
        targets=condition.targets,
        seed=cell.seed,
        keep_images=bool(condition.projected) or condition.shows_attacked,
        progress=progress,
    )


def _figures(cell: Cell, evaluated: Evaluated) -> dict[str, float]:
    found: dict[str, float] = {}
    first = evaluated.results.evaluations[0].clean.accuracy
    for number, evaluation in enumerate(evaluated.results.evaluations):
        (low, high), clean = evaluation.clean.interval, evaluation.clean.accuracy
        figures = {"clean": clean, "clean_low": low, "clean_high": high}
        figures |= {"error": 1 - clean, "gain": clean - first}
        figures |= _of_attacks(cell, number, evaluated)
        for detector in evaluation.detectors:
            figures |= {f"{detector.name}.{name}": value for name, value in _of_detector(detector)}
        found |= {f"{evaluation.classifier.name}.{name}": v for name, v in figures.items()}
    return found


def _of_attacks(cell: Cell, number: int, evaluated: Evaluated) -> dict[str, float]:
    """Return one view's figures under the attack; in a sweep one for each value, and the mean."""
    outcomes, sweep = evaluated.outcomes, cell.condition.sweep
    right = outcomes[f"e{number}_prediction"] == outcomes["label"]
    each = [
        dict(_of_attack(attack)) | {"adversarial_accuracy": float(right[k].mean())}
        for k, attack in enumerate(evaluated.results.evaluations[number].attacks)
    ]
    if (within := cell.condition.within) is not None:
        clean = outcomes[f"e{number}_clean"] == outcomes["label"]
        near = outcomes[f"e{number}_{within.norm}"] <= within.distance
        standing = clean & ~(outcomes[f"e{number}_reached"] & near)
        each = [
            figures | {"accuracy_within": float(standing[k].mean())}
            for k, figures in enumerate(each)
        ]
    if sweep is None:
        return each[0] if each else {}
    by_value = dict(zip(sweep.names.values(), each, strict=True))
    found = {f"{name}@{at}": v for at, figures in by_value.items() for name, v in figures.items()}
    for name in {name for figures in each for name in figures}:
        mean = sweep.mean({at: f[name] for at, f in by_value.items() if name in f})
        found |= {} if mean is None else {f"{name}@{MEAN}": mean}
    return dict(sorted(found.items()))


def _of_attack(attack: AttackResult) -> Iterator[tuple[str, float]]:
    low, high = attack.interval
    yield from {
        "accuracy": attack.accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "fooling_ratio": attack.fooling_ratio,
        "gradients": attack.gradients_per_image,
        "queries": attack.queries_per_image,
        "violations": attack.violations,
    }.items()
    for norm in NORMS:
        if (median := attack.distance[norm].median) is not None:
            yield f"median_{norm}", median
    if attack.success_rate is not None:
        yield "success_rate", attack.success_rate


def _of_detector(detector: DetectorResult) -> Iterator[tuple[str, float]]:
    yield "auroc", detector.auroc
    yield "accuracy", detector.accuracy
    yield "tpr_at_5_fpr", detector.tpr_at_5_fpr
    yield "threshold", detector.threshold
    if detector.fooled is not None:
        yield "fooling_images", detector.fooled.images
        for name in ("auroc", "accuracy", "tpr_at_5_fpr"):
            if (value := getattr(detector.fooled, name)) is not None:
                yield f"fooling_{name}", value
    for kind, scores in (("clean", detector.clean), ("adversarial", detector.adversarial)):
        yield f"{kind}_mean", scores.mean
        yield f"{kind}_variance", scores.variance


def _histograms(cell: Cell, evaluated: Evaluated) -> dict[str, list[int]]:
    bins = cell.condition.histogram
    if bins is None:
        return {}
    names = [each.name for each in cell.condition.detectors]
    prefix = f"e{cell.condition.judged.index(str(cell.condition.detected))}_d"
    edges = np.linspace(bins.low, bins.high, bins.count + 1)
    return {
        kind: np.histogram(
            np.clip(
                evaluated.outcomes[f"{prefix}{names.index(bins.detector)}_{kind}"],
                bins.low,
                bins.high,
            ),
            edges,
        )[0].tolist()
        for kind in ("clean", "adversarial")
    }
