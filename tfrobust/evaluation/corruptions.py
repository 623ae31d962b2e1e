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
from tfrobust.environment.versions import environment
from tfrobust.errors import UsageError
from tfrobust.evaluation.corruption_errors import corruption_errors
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.resuming import KeptPredictions
from tfrobust.evaluation.settings import (
    EvaluationInputs,
    EvaluationSettings,
    Progress,
    check_some,
)
from tfrobust.evaluation.summaries import outcome_rows, summarize
from tfrobust.registry import name_of
from tfrobust.results.records import Evaluation, Results, ScenarioRecord
from tfrobust.results.run_files import Evaluated, identified
from tfrobust.scenario import Scenario, Shift
from tfrobust.types import Images, Labels

Shifts = Mapping[str, Sequence[Shift]]  # corruption → one shift a severity, the mildest first


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionSettings:
    """What is measured under corruptions, and how.

    Attributes:
        classifiers: name → classifier, one or more.
        scenario: without a shift.
        shifts: corruption → one shift a severity, the mildest first. `None`: those of
            `tfrobust.suites.corruptions`.
        baseline: the classifier whose errors all errors are divided by, a name of `classifiers`.
        split: of the scenario.
        limit: only the first `limit` images; `None`: all.
        seed: of the corruptions.
        batch_size: images at a time.

    Raises:
        UsageError: no classifier, a baseline that is none of them, a scenario that has a shift
            already, a shift without a severity.
    """

    classifiers: Mapping[str, Classifier]
    scenario: Scenario
    shifts: Shifts | None = None
    baseline: str | None = None
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        check_some(self.classifiers)
        if self.baseline is not None and self.baseline not in self.classifiers:
            known = ", ".join(self.classifiers)
            raise UsageError(f"baseline: expected one of {known}; received: {self.baseline!r}")
        if isinstance(self.scenario, Shifted):
            raise UsageError(
                "suite 'corruptions': expected a scenario without a shift; "
                f"received: {name_of(self.scenario.base)}+{self.scenario.shift_name}"
            )
        for shift in (shift for severities in (self.shifts or {}).values() for shift in severities):
            if shift.severity is None:
                raise UsageError(
                    f"shifts: expected shifts with a severity; received: {name_of(shift)}"
                )


def evaluate_corruptions(
    settings: CorruptionSettings, *, out: Path | None = None, progress: Progress | None = None
) -> Evaluated:
    """Measure classifiers on a scenario and under its fifteen corruptions at five severities.

    Args:
        settings: what is measured, and how.
        out: the run folder, where finished predictions are kept until the run is whole;
            `tfrobust.evaluation.run_corruptions` takes care of the rest.
        progress: receives how many of the conditions are done: clean, and each shift.

    Returns:
        Results and outcomes. The evaluations are those of the clean scenario, one a classifier,
        then those of each corruption from severity 1 to 5.

    Raises:
        UsageError: an unknown split, or a corruption that no plugin brings.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract.

    Example:
        >>> settings = CorruptionSettings(classifiers={"d1": load("d1")},
        ...                               scenario=create("scenarios", "digits"))
        >>> evaluate_corruptions(settings).results.corruptions[0].mce
    """
    shifts = suites.corruptions() if settings.shifts is None else settings.shifts
    for name, classifier in settings.classifiers.items():
        check_fits(classifier, settings.scenario, name)
    survey = _Survey.of(settings, out)
    conditions = [None, *(shift for several in shifts.values() for shift in several)]
    evaluations: list[Evaluation] = []
    outcomes = {"label": survey.inputs.labels, **survey.examples(shifts)}
    for done, shift in enumerate(conditions):
        record = survey.record(shift)
        if progress:
            progress(record.shift or "clean", done, len(conditions))
        for subject in survey.subjects(shift):
            outcomes |= outcome_rows(len(evaluations), subject.clean, [])
            evaluations.append(summarize(survey.inputs, subject, record, []))
    results = Results(
        evaluations=evaluations,
        environment=environment(),
        corruptions=corruption_errors(evaluations, settings.baseline),
    )
    return Evaluated(identified(results, outcomes), outcomes, survey.inputs.images, [])


@dataclasses.dataclass(frozen=True)
class _Survey:
    """Looks at the same images under every condition; a shift of `None` is the clean one."""

    inputs: EvaluationInputs
    kept: KeptPredictions | None

    @classmethod
    def of(cls, settings: CorruptionSettings, out: Path | None) -> _Survey:
        images, labels = arrays(settings.scenario, settings.split, settings.limit)
        same = EvaluationSettings(
            classifiers=settings.classifiers,
            scenario=settings.scenario,
            split=settings.split,
            seed=settings.seed,
            batch_size=settings.batch_size,
        )
        kept = KeptPredictions(out, images, labels) if out else None
        return cls(EvaluationInputs(same, images, labels), kept)

    def record(self, shift: Shift | None) -> ScenarioRecord:
        settings = self.inputs.settings
        return ScenarioRecord(
            name=name_of(settings.scenario),
            shift=None if shift is None else Shifted(settings.scenario, shift).shift_name,
            split=settings.split,
            images=len(self.inputs.labels),
            seed=settings.seed,
        )

    def images(self, shift: Shift | None, limit: int | None = None) -> Images:
        if shift is None:
            return self.inputs.images[:limit]
        settings = self.inputs.settings
        shifted = Shifted(settings.scenario, shift, settings.seed)
        return arrays(shifted, settings.split, limit or len(self.inputs.labels))[0]

    def subjects(self, shift: Shift | None) -> list[Subject]:
        """Return each classifier with what it predicts."""
        images = functools.cache(lambda: self.images(shift))  # read only if a prediction is missing
        return [
            Subject(name, classifier, self._predicted(name, classifier, shift, images))
            for name, classifier in self.inputs.settings.classifiers.items()
        ]

    def _predicted(
        self, name: str, classifier: Classifier, shift: Shift | None, images: Callable[[], Images]
    ) -> Labels:
        record = self.record(shift)
        key = record.model_dump_json() + (repr(registry.signature(shift)) if shift else "")
        kept = self.kept.load(key, classifier) if self.kept else None
        if kept is not None:
            return kept
        batch_size = self.inputs.settings.batch_size
        predicted = clean_predictions(classifier, images(), name, batch_size)
        if self.kept:
            self.kept.save(key, classifier, predicted)
        return predicted

    def examples(self, shifts: Shifts) -> dict[str, np.ndarray]:
        """Return the first image, and what each corruption of middle severity makes of it."""
        chosen = [several[len(several) // 2] for several in shifts.values()]
        return {
            "example_index": np.zeros(1, np.int64),
            "example_images": self.images(None, 1),
            "example_corrupted": np.concatenate([self.images(shift, 1) for shift in chosen]),
        }
