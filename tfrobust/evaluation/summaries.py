"""One classifier's part of `results.json`, from its audited attacks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from tfrobust.classifiers.inference import megabytes
from tfrobust.evaluation.blocks.gathered import AdaptiveRun
from tfrobust.evaluation.judging import Attacked, Subject, attack_result, survivors
from tfrobust.evaluation.spending import spending_of, spending_warnings
from tfrobust.evaluation.warnings.gradients import gradient_warnings
from tfrobust.evaluation.warnings.transfers import transfer_warnings
from tfrobust.results.attack_records import AdaptiveResult, BudgetedWorstCase
from tfrobust.results.detectors import DetectorResult
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import ClassifierRecord, Evaluation, ScenarioRecord
from tfrobust.types import Flags, Labels


def summarize(
    subject: Subject,
    labels: Labels,
    scenario: ScenarioRecord,
    known: tuple[str, ...],
    attacked: Sequence[Attacked] = (),
    *,
    baselines: Sequence[Attacked] = (),
    detectors: Sequence[DetectorResult] = (),
    adaptive: Sequence[AdaptiveRun] = (),
) -> Evaluation:
    """Return one classifier's part of `results.json`.

    Args:
        subject: the classifier.
        labels: int64 `(n,)`: of the images.
        scenario: what the images are.
        known: the scenario's classes.
        attacked: the classifier under each attack.
        baselines: it under noise.
        detectors: what the detectors that look at it are worth.
        adaptive: it under attacks that know its defences; they count for the worst case.
    """
    classifier = subject.classifier
    right = subject.clean == labels
    hostile = [run for run in attacked if not run.attack.corrective]
    knowing = [one.run for one in adaptive if not one.run.attack.corrective]
    alive = functools.partial(_all_survive, subject, labels)
    results = [attack_result(subject, run, labels, len(known)) for run in attacked]
    return Evaluation(
        classifier=ClassifierRecord(
            name=subject.name,
            path=classifier.source,
            num_classes=classifier.num_classes,
            image_shape=classifier.image_shape,
            defenses=list(classifier.defenses),
            megabytes=None if classifier.meter is not None else megabytes(classifier),
            passes=classifier.passes,
            imitates=classifier.imitates or None,
            class_names=(*known, *classifier.class_names[len(known) :]) if attacked else (),
        ),
        scenario=scenario,
        clean=Proportion.of(right),
        attacks=results,
        adaptive=[
            AdaptiveResult(
                **dict(attack_result(subject, one.run, labels, len(known))), adaptive=one.record
            )
            for one in adaptive
        ],
        baselines=[attack_result(subject, noise, labels, len(known)) for noise in baselines],
        detectors=list(detectors),
        worst_case=Proportion.of(alive(bounded([*hostile, *knowing]))),
        worst_case_by_budget=_worst_by_budget(alive, hostile, knowing),
        spending=spending_of(classifier),
        warnings=[
            *gradient_warnings(subject.name, results),
            *transfer_warnings(subject.name, results),
            *spending_warnings(subject.name, classifier, results),
        ],
    )


def bounded(attacked: Sequence[Attacked]) -> Sequence[Attacked]:
    """Return the attacks that count for the worst case: those with a budget, if any has one.

    A minimum-norm attack without a budget breaks every image sooner or later: with it, the worst
    case would always be zero. Its result is the distance.
    """
    limited = [a for a in attacked if not (a.attack.minimum_norm and a.attack.budget is None)]
    return limited or attacked


def _all_survive(subject: Subject, labels: Labels, attacked: Iterable[Attacked]) -> Flags:
    """Return which images are right, and stay so under every one of these attacks."""
    alive: Flags = subject.clean == labels
    for run in attacked:
        alive = alive & survivors(run.attack, run.column("prediction"), subject.clean, labels)
    return alive


def _worst_by_budget(
    alive: Callable[[Iterable[Attacked]], Flags],
    attacked: Sequence[Attacked],
    knowing: Sequence[Attacked],
) -> list[BudgetedWorstCase]:
    """Return the worst case at each budget of every norm that was tried at several.

    Those of the attacks that all classifiers are under; attacks that know this one count too.
    """
    budgets: dict[str, set[float]] = {}
    for run in attacked:
        if run.attack.threat.norm and run.attack.budget is not None:
            budgets.setdefault(run.attack.threat.norm, set()).add(run.attack.budget)
    return [
        BudgetedWorstCase(
            norm=norm,
            eps=eps,
            **dict(Proportion.of(alive(_within(norm, eps, [*attacked, *knowing])))),
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
