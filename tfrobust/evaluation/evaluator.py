"""Classifiers × attacks → results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.shifted import Shifted
from tfrobust.environment.versions import environment
from tfrobust.evaluation.attack_runs import AttackRuns
from tfrobust.evaluation.detection import Judged, judge_detectors, score_rows
from tfrobust.evaluation.judging import Attacked, Subject
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import (
    EvaluationInputs,
    EvaluationOptions,
    EvaluationSettings,
    Progress,
    load_inputs,
)
from tfrobust.evaluation.summaries import outcome_rows, summarize
from tfrobust.registry import name_of
from tfrobust.results.records import Results, ScenarioRecord
from tfrobust.results.run_files import Evaluated, identified
from tfrobust.scenario import Scenario
from tfrobust.types import Labels


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The findings about one classifier.

    Attributes:
        subject: the classifier.
        attacked: it under each attack.
        baselines: it under noise.
        detectors: the detectors that look at it.
    """

    subject: Subject
    attacked: Sequence[Attacked]
    baselines: Sequence[Attacked]
    detectors: Sequence[Judged] = ()


def evaluate(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    attacks: Sequence[Attack] = (),
    *,
    partial: Partial | None = None,
    progress: Progress | None = None,
    **options: Unpack[EvaluationOptions],
) -> Evaluated:
    """Attack every classifier with every attack, and audit what comes back.

    Args:
        classifiers: name → classifier.
        scenario: where the images come from.
        attacks: in the order they are reported.
        partial: keeps finished attacks, so that an interrupted evaluation goes on;
            `tfrobust.evaluation.run` takes care of that.
        progress: receives how far each attack is.
        **options: `split`, `limit`, `crafted_on`, `baselines`, `detectors`, `watched`, `targets`,
            `seed`, `batch_size`, `keep_images`: see `EvaluationSettings`.

    Returns:
        Results and outcomes, ready for `tfrobust.report.write_run`.

    Raises:
        UsageError: no classifier, an unknown split, an attack that fits no classifier, a file of
            something learned that does not fit, a region of images without boxes.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images or boxes break the contract.

    Example:
        >>> evaluated = evaluate({"d1": load("d1")}, create("scenarios", "digits"),
        ...                      [create("attacks", "pgd", eps=0.1)], limit=100)
        >>> evaluated.results.evaluations[0].worst_case.accuracy
    """
    settings = EvaluationSettings(
        classifiers=classifiers, scenario=scenario, attacks=attacks, **options
    )
    return evaluate_settings(settings, partial=partial, progress=progress)


def evaluate_settings(
    settings: EvaluationSettings,
    *,
    partial: Partial | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Do what `evaluate` does, with all options in one object."""
    inputs = load_inputs(settings, progress)
    return assemble(inputs, judgements(inputs, partial))


def judgements(
    inputs: EvaluationInputs,
    partial: Partial | None = None,
    *,
    clean: Mapping[str, Labels] | None = None,
) -> list[Judgement]:
    """Attack every classifier and judge it.

    Args:
        inputs: of the evaluation.
        partial: keeps finished attacks.
        clean: what classifiers are known to predict for the clean images, by name.
    """
    settings, known = inputs.settings, clean or {}
    runs = AttackRuns(inputs, partial)
    judged = []
    for name, classifier in settings.classifiers.items():
        predicted = known.get(name)
        if predicted is None:
            predicted = clean_predictions(classifier, inputs.images, name, settings.batch_size)
        subject = Subject(name, classifier, predicted)
        attacked = runs.attack_all(subject, settings.attacks)
        baselines = runs.attack_all(subject, inputs.baselines)
        detectors: list[Judged] = []
        if settings.detectors and (settings.watched is None or name in settings.watched):
            to_fit = runs.to_fit(subject)
            detectors = judge_detectors(settings.detectors, attacked, inputs, classifier, to_fit)
        if not settings.keep_images:  # it was kept for the detectors
            attacked = [run.without_images() for run in attacked]
        judged.append(Judgement(subject, attacked, baselines, detectors))
    return judged


def assemble(inputs: EvaluationInputs, judged: Sequence[Judgement]) -> Evaluated:
    """Return results and outcomes from the judgements of all classifiers."""
    examples = inputs.examples
    outcomes: dict[str, np.ndarray] = {
        "label": inputs.labels,
        "example_index": examples,
        "example_images": inputs.images[examples],
    }
    scenario = _scenario_record(inputs)
    evaluations = []
    for number, judgement in enumerate(judged):
        evaluations.append(
            summarize(
                inputs,
                judgement.subject,
                scenario,
                judgement.attacked,
                baselines=judgement.baselines,
                detectors=judgement.detectors,
            )
        )
        outcomes |= score_rows(number, judgement.detectors)
        outcomes |= outcome_rows(number, judgement.subject.clean, judgement.attacked)
    results = identified(Results(evaluations=evaluations, environment=environment()), outcomes)
    keep = inputs.settings.keep_images
    adversarial = [[run.images for run in judgement.attacked if keep] for judgement in judged]
    return Evaluated(results, outcomes, inputs.images, adversarial)


def _scenario_record(inputs: EvaluationInputs) -> ScenarioRecord:
    settings = inputs.settings
    scenario = base = settings.scenario
    shift = None
    if isinstance(scenario, Shifted):
        base, shift = scenario.base, scenario.shift_name
    return ScenarioRecord(
        name=name_of(base),
        shift=shift,
        split=settings.split,
        images=len(inputs.labels),
        seed=settings.seed,
    )
