"""Runs the cells of a study that are not finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust import store
from tfrobust.classifier import Classifier, KerasClassifier
from tfrobust.evaluation import Evaluated, evaluate
from tfrobust.options import build
from tfrobust.pipeline import FINISHED, defended, train_and_store, untrained
from tfrobust.registry import create
from tfrobust.results import Evaluation, environment
from tfrobust.scenario import Scenario, open_scenario
from tfrobust.study.cells import Cell, Finished, Result, cells_of, command, read_cell, write_cell
from tfrobust.study.declared import Plugin, Study
from tfrobust.training import Trainer, TrainingOptions
from tfrobust.verdicts import Progress

_NORMS = ("l0", "l1", "l2", "linf")


def run_study(
    study: Study,
    scale: str,
    out: Path,
    results: Path,
    *,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Finished:
    """Compute every cell that is not finished; each is kept as soon as it is.

    Args:
        study: from `find_study`.
        scale: one of its scales.
        out: trained networks are kept in `out/models`, and trained again where they are missing.
        results: where finished cells are kept.
        progress: told how far training and attacks are.
        say: told what is being done.

    Returns:
        All results.

    Raises:
        UsageError: there is no such scale, or a plugin refuses its options.
        StoreError: the disk refuses, or a finished cell is damaged.
    """
    cells = cells_of(study, scale)
    todo = [cell for cell in cells if read_cell(cell, results) is None]
    files: dict[str, Path] = {}
    for number, cell in enumerate(todo):
        say(f"cell {number + 1} of {len(todo)}: {cell.title}")
        scenario = open_scenario(cell.scale.scenario, seed=cell.seed)
        if cell.model_name not in files:
            files[cell.model_name] = train_network(cell, scenario, out, progress, say)
        found = compute(cell, scenario, files[cell.model_name], progress)
        write_cell(found, cell.file(results))
    return Finished(cells, results)


def compute(cell: Cell, scenario: Scenario, file: Path, progress: Progress | None = None) -> Result:
    """Measure one cell.

    Args:
        cell: which.
        scenario: its data.
        file: the trained network, from `train_network`.
        progress: told how far attacks are.
    """
    began = time.perf_counter()
    evaluated = _evaluated(cell, scenario, file, progress)
    return Result(
        study=cell.study.name,
        scale=cell.scale_name,
        network=cell.network_name,
        condition=cell.condition_name,
        seed=cell.seed,
        key=cell.key,
        figures=_figures(evaluated),
        histograms=_histograms(cell, evaluated),
        seconds=round(time.perf_counter() - began, 1),
        command=command(cell.study, cell.scale_name),
        versions=environment(),
    )


def train_network(
    cell: Cell,
    scenario: Scenario,
    out: Path,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the file of a cell's trained network; train it, or train on, where it is missing."""
    training = cell.training
    train_and_store(
        create("models", training["model"], **training["options"]),
        scenario,
        cell.model_name,
        Trainer(build(TrainingOptions, "train", training["train"]), report=progress),
        _built("defenses", [cell.plugin(each) for each in cell.network.defenses]),
        scenario_name=cell.scale.scenario,
        resume=True,
        root=out / "models",
        on_stage=say,
    )
    return out / "models" / cell.model_name / FINISHED / "model.keras"


def _evaluated(cell: Cell, scenario: Scenario, file: Path, progress: Progress | None) -> Evaluated:
    import keras

    keras.utils.set_random_seed(cell.seed)  # dropout draws from generators that are made here
    condition = cell.condition
    network = _network(cell, scenario, file)
    judged = {view: _seen(cell, view, network, scenario) for view in condition.judged}
    crafted_on = None
    if condition.crafted_on is not None:
        source = _network(cell, scenario, file, condition.surrogate)
        view = condition.crafted_on
        same = judged.get(view) if not condition.surrogate else None
        crafted_on = (view, same or _seen(cell, view, source, scenario))
    attack = [cell.plugin(condition.attack)] if condition.attack else []
    return evaluate(
        judged,
        scenario,
        _built("attacks", attack),
        limit=cell.scale.images,
        crafted_on=crafted_on,
        baselines=(),
        detectors=_built("detectors", [cell.plugin(each) for each in condition.detectors]),
        watched=[condition.detected] if condition.detected else None,
        targets=condition.targets,
        seed=cell.seed,
        progress=progress,
    )


def _network(
    cell: Cell, scenario: Scenario, file: Path, surrogate: dict[str, Any] | None = None
) -> Classifier:
    """Return the trained network, or the same weights in a model built with other options."""
    options = {**cell.network.options, **(surrogate or {})}
    builder = create("models", cell.network.model, **options)  # its import brings its layers too
    trained = store.load(file)
    if not surrogate:
        return trained
    model = builder.build(scenario.image_shape, scenario.num_classes)
    model.set_weights(trained.model.get_weights())
    return KerasClassifier(model, stochastic=trained.stochastic)


def _seen(cell: Cell, view: str, network: Classifier, scenario: Scenario) -> Classifier:
    declared = [cell.plugin(each) for each in cell.study.views[view].defenses]
    return defended(network, untrained(_built("defenses", declared)), scenario, Trainer())


def _built(kind: str, declared: Iterable[Plugin]) -> list[Any]:
    return [create(kind, each.name, **each.options) for each in declared]


def _figures(evaluated: Evaluated) -> dict[str, float]:
    found: dict[str, float] = {}
    for evaluation in evaluated.results.evaluations:
        view = evaluation.classifier.name
        figures = _of_view(evaluation) | _of_detectors(evaluation)
        found |= {f"{view}.{name}": value for name, value in figures.items()}
    return found


def _of_view(evaluation: Evaluation) -> dict[str, float]:
    low, high = evaluation.clean.interval
    figures = {"clean": evaluation.clean.accuracy, "clean_low": low, "clean_high": high}
    for attack in evaluation.attacks:
        low, high = attack.interval
        figures |= {
            "accuracy": attack.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "fooling_ratio": attack.fooling_ratio,
            "gradients": attack.gradients_per_image,
            "queries": attack.queries_per_image,
            "violations": attack.violations,
        }
        distances = {f"median_{norm}": attack.distance[norm].median for norm in _NORMS}
        figures |= {name: value for name, value in distances.items() if value is not None}
        if attack.success_rate is not None:
            figures["success_rate"] = attack.success_rate
    return figures


def _of_detectors(evaluation: Evaluation) -> dict[str, float]:
    return {
        f"{each.name}.{name}": value
        for each in evaluation.detectors
        for name, value in {
            "auroc": each.auroc,
            "accuracy": each.accuracy,
            "tpr_at_5_fpr": each.tpr_at_5_fpr,
            "threshold": each.threshold,
            "clean_mean": each.clean.mean,
            "clean_variance": each.clean.variance,
            "adversarial_mean": each.adversarial.mean,
            "adversarial_variance": each.adversarial.variance,
        }.items()
    }


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
