"""Classifiers × corruptions → results: the fifteen of ImageNet-C at five severities each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfrobust import registry, suites
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions
from tfrobust.data.reading import arrays, check_fits
from tfrobust.data.shifted import Shifted
from tfrobust.environment import environment
from tfrobust.errors import UsageError
from tfrobust.evaluation.corruption_errors import corruption_errors
from tfrobust.evaluation.evaluator import Evaluated, results
from tfrobust.evaluation.judging import Plan, Progress, Subject, outcome_rows, summarize
from tfrobust.evaluation.kept_predictions import KeptPredictions
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario, Shift
from tfrobust.types import Images, Labels


def evaluate_corruptions(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    *,
    shifts: Mapping[str, Sequence[Shift]] | None = None,
    baseline: str | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    out: Path | None = None,
    progress: Progress | None = None,
) -> Evaluated:
    """Measure classifiers on a scenario and under its fifteen corruptions at five severities.

    Args:
        classifiers: name → classifier.
        scenario: without a shift.
        shifts: corruption → one shift a severity, the mildest first. `None`: those of
            `tfrobust.suites.corruptions`.
        baseline: the one of them whose errors all errors are divided by.
        split: of the scenario.
        limit: only the first so many images.
        seed: of the corruptions.
        batch_size: images at a time.
        out: the run folder, where finished predictions are kept until the run is whole.
        progress: told how many of the conditions are done: clean, and each shift.

    Returns:
        Results and outcomes. The evaluations are those of the clean scenario, one a classifier,
        then those of each corruption from severity 1 to 5.

    Raises:
        UsageError: no classifier, a baseline that is none of them, a scenario that has a shift
            already, a shift without a severity, an unknown split.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract.

    Example:
        >>> evaluated = evaluate_corruptions({"d1": load("d1")}, create("scenarios", "digits"))
        >>> evaluated.results.corruptions[0].mce
    """
    shifts = suites.corruptions() if shifts is None else shifts
    _check(classifiers, scenario, shifts, baseline)
    images, labels = arrays(scenario, split, limit)
    plan = Plan(images, labels, scenario, seed=seed, batch_size=batch_size)
    survey = _Survey(plan, split, KeptPredictions(out, plan) if out else None)
    conditions = [None, *(shift for several in shifts.values() for shift in several)]
    found: list[results.Evaluation] = []
    outcomes = {"label": labels, **survey.examples(shifts)}
    for done, shift in enumerate(conditions):
        record = survey.record(shift)
        if progress:
            progress(record.shift or "clean", done, len(conditions))
        for subject in survey.subjects(classifiers, shift):
            outcomes |= outcome_rows(len(found), subject.clean, [])
            found.append(summarize(plan, subject, record, []))
    everything = results.Results(
        evaluations=found,
        environment=environment(),
        corruptions=corruption_errors(found, baseline),
    )
    return Evaluated(results.identified(everything, outcomes), outcomes, images, [])


@dataclasses.dataclass(frozen=True)
class _Survey:
    """Looks at the same images under every condition; a shift of `None` is the clean one."""

    plan: Plan
    split: str
    kept: KeptPredictions | None

    def record(self, shift: Shift | None) -> results.ScenarioRecord:
        scenario, plan = self.plan.scenario, self.plan
        return results.ScenarioRecord(
            name=name_of(scenario),
            shift=None if shift is None else Shifted(scenario, shift).shift_name,
            split=self.split,
            images=len(plan.labels),
            seed=plan.seed,
        )

    def images(self, shift: Shift | None, limit: int | None = None) -> Images:
        if shift is None:
            return self.plan.images[:limit]
        shifted = Shifted(self.plan.scenario, shift, self.plan.seed)
        return arrays(shifted, self.split, limit or len(self.plan.labels))[0]

    def subjects(self, classifiers: Mapping[str, Classifier], shift: Shift | None) -> list[Subject]:
        """Return each classifier with what it predicts."""
        images = functools.cache(lambda: self.images(shift))  # read only if a prediction is missing
        return [
            Subject(name, classifier, self._predicted(name, classifier, shift, images))
            for name, classifier in classifiers.items()
        ]

    def _predicted(
        self, name: str, classifier: Classifier, shift: Shift | None, images: Callable[[], Images]
    ) -> Labels:
        record = self.record(shift)
        key = record.model_dump_json() + (repr(registry.signature(shift)) if shift else "")
        found = self.kept.load(key, classifier) if self.kept else None
        if found is not None:
            return found
        predicted = clean_predictions(classifier, images(), name, self.plan.batch_size)
        if self.kept:
            self.kept.save(key, classifier, predicted)
        return predicted

    def examples(self, shifts: Mapping[str, Sequence[Shift]]) -> dict[str, np.ndarray]:
        """Return the first image, and what each corruption of middle severity makes of it."""
        chosen = [several[len(several) // 2] for several in shifts.values()]
        return {
            "example_index": np.zeros(1, np.int64),
            "example_images": self.images(None, 1),
            "example_corrupted": np.concatenate([self.images(shift, 1) for shift in chosen]),
        }


def _check(
    classifiers: Mapping[str, Classifier],
    scenario: Scenario,
    shifts: Mapping[str, Sequence[Shift]],
    baseline: str | None,
) -> None:
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")
    if baseline is not None and baseline not in classifiers:
        known = ", ".join(classifiers)
        raise UsageError(f"baseline: expected one of {known}; received: {baseline!r}")
    if isinstance(scenario, Shifted):
        raise UsageError(
            "suite 'corruptions': expected a scenario without a shift; "
            f"received: {name_of(scenario.base)}+{scenario.shift_name}"
        )
    for shift in (each for several in shifts.values() for each in several):
        if shift.severity is None:
            raise UsageError(f"shifts: expected shifts with a severity; received: {name_of(shift)}")
    for name, classifier in classifiers.items():
        check_fits(classifier, scenario, name)
