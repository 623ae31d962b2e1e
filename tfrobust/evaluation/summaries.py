"""One classifier's part of `results.json` and of `outcomes.npz`, from its audited attacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tfrobust.evaluation.detection import Judged
from tfrobust.evaluation.gradient_warnings import gradient_warnings
from tfrobust.evaluation.judging import Attacked, Subject, proportion
from tfrobust.evaluation.settings import EvaluationInputs
from tfrobust.results.records import (
    NORMS,
    BudgetedWorstCase,
    ClassifierRecord,
    Evaluation,
    ScenarioRecord,
)
from tfrobust.types import Flags, Labels


def summarize(
    inputs: EvaluationInputs,
    subject: Subject,
    scenario: ScenarioRecord,
    attacked: Sequence[Attacked],
    *,
    baselines: Sequence[Attacked] = (),
    detectors: Sequence[Judged] = (),
) -> Evaluation:
    """Return one classifier's part of `results.json`.

    Args:
        inputs: of the evaluation.
        subject: the classifier.
        scenario: what the images are.
        attacked: the classifier under each attack.
        baselines: it under noise.
        detectors: the detectors that look at it.
    """
    classifier = subject.classifier
    right = subject.clean == inputs.labels
    hostile = [run for run in attacked if not run.attack.corrective]
    known = inputs.settings.scenario.class_names
    return Evaluation(
        classifier=ClassifierRecord(
            name=subject.name,
            path=classifier.source,
            num_classes=classifier.num_classes,
            image_shape=classifier.image_shape,
            defenses=list(classifier.defenses),
            class_names=(*known, *classifier.class_names[len(known) :]) if attacked else (),
        ),
        scenario=scenario,
        clean=proportion(right),
        attacks=[run.result for run in attacked],
        baselines=[noise.result for noise in baselines],
        detectors=[judged.result for judged in detectors],
        worst_case=proportion(_all_survive(right, bounded(hostile))),
        worst_case_by_budget=_worst_by_budget(right, hostile),
        warnings=gradient_warnings(subject.name, [run.result for run in attacked]),
    )


def bounded(attacked: Sequence[Attacked]) -> Sequence[Attacked]:
    """Return the attacks that count for the worst case: those with a budget, if any has one.

    A minimum-norm attack without a budget breaks every image sooner or later: with it, the worst
    case would always be zero. Its result is the distance.
    """
    limited = [a for a in attacked if not (a.attack.minimum_norm and a.attack.budget is None)]
    return limited or attacked


def _all_survive(right: Flags, attacked: Iterable[Attacked]) -> Flags:
    return np.logical_and.reduce([right, *(run.survivors for run in attacked)])


def _worst_by_budget(right: Flags, attacked: Sequence[Attacked]) -> list[BudgetedWorstCase]:
    """Return the worst case at each budget of every norm that was tried at several."""
    budgets: dict[str, set[float]] = {}
    for run in attacked:
        if run.attack.threat.norm and run.attack.budget is not None:
            budgets.setdefault(run.attack.threat.norm, set()).add(run.attack.budget)
    return [
        BudgetedWorstCase(
            norm=norm,
            eps=eps,
            **dict(proportion(_all_survive(right, _within(norm, eps, attacked)))),
        )
        for norm, several in budgets.items()
        if len(several) > 1
        for eps in sorted(several)
    ]


def _within(norm: str, eps: float, attacked: Sequence[Attacked]) -> list[Attacked]:
    return [
        run
        for run in attacked
        if run.attack.threat.norm == norm
        and run.attack.budget is not None
        and run.attack.budget <= eps
    ]


def outcome_rows(number: int, clean: Labels, attacked: Sequence[Attacked]) -> dict[str, np.ndarray]:
    """Return evaluation `number`'s part of `outcomes.npz`.

    Args:
        number: of the evaluation.
        clean: int64 `(images,)`: predictions for the clean images.
        attacked: in the order of the result's `attacks`; each becomes a row `(images,)`.
    """
    audits = [run.audit for run in attacked]
    table = {
        "clean": clean,
        "prediction": _rows([a.prediction for a in audits], len(clean), np.int64),
        "success": _rows([a.success for a in audits], len(clean), np.bool_),
        "reached": _rows([a.reached for a in audits], len(clean), np.bool_),
    }
    for norm in NORMS:
        table[norm] = _rows([a.distance[norm] for a in audits], len(clean), np.float32)
    for k, run in enumerate(attacked):
        table[f"example_a{k}"] = run.examples
    return {f"e{number}_{key}": value for key, value in table.items()}


def _rows(rows: Sequence[np.ndarray], count: int, dtype: type[np.generic]) -> np.ndarray:
    return np.stack(rows).astype(dtype) if rows else np.zeros((0, count), dtype)
