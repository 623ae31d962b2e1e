"""Classifiers × corruptions → results: the fifteen of ImageNet-C at five severities each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tfrobust import suites
from tfrobust.data.block_reader import BlockReader
from tfrobust.data.reading import check_fits
from tfrobust.data.shifted import Shifted
from tfrobust.data.survey import survey
from tfrobust.environment.versions import environment
from tfrobust.errors import DataError
from tfrobust.evaluation.blocks.block import Block, surveyed
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.corrupted import ConditionBlock, CorruptionJob
from tfrobust.evaluation.blocks.gathering import computed_ranges
from tfrobust.evaluation.blocks.outcome_files import written_outcomes
from tfrobust.evaluation.corruptions.errors import corruption_errors
from tfrobust.evaluation.corruptions.settings import CorruptionSettings, Shifts
from tfrobust.evaluation.evaluator import scenario_record
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import Progress
from tfrobust.evaluation.summaries import summarize
from tfrobust.execution.executor import Executor, Failed, InProcess
from tfrobust.results.records import Evaluation, Incomplete, Results
from tfrobust.results.run_files import Evaluated, identified
from tfrobust.scenario import Scenario
from tfrobust.types import Images


def evaluate_corruptions(
    settings: CorruptionSettings,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Evaluated:
    """Measure classifiers on a scenario and under its fifteen corruptions at five severities.

    Args:
        settings: what is measured, and how.
        out: the run folder, where finished predictions are kept until the run is whole;
            `tfrobust.evaluation.run_corruptions` takes care of the rest.
        progress: receives how many of the conditions are done: clean, and each shift.
        executor: computes the blocks; `None`: this process.

    Returns:
        Results and outcomes. The evaluations are those of the clean scenario, one a classifier,
        then those of each corruption from severity 1 to 5.

    Raises:
        UsageError: an unknown split, or a corruption that no plugin brings.
        ClassifierError: a classifier does not fit the scenario or returns NaN.
        DataError: the scenario's images break the contract, or no block could be computed.

    Example:
        >>> settings = CorruptionSettings(classifiers={"d1": load("d1")},
        ...                               scenario=create("scenarios", "digits"))
        >>> evaluate_corruptions(settings).results.corruptions[0].mce
    """
    shifts = suites.corruptions() if settings.shifts is None else settings.shifts
    settings = dataclasses.replace(settings, shifts=shifts)
    for name, classifier in settings.classifiers.items():
        check_fits(classifier, settings.scenario, name)
    seen = survey(settings.scenario, settings.split, settings.limit, settings.block_size)
    examples = _examples(settings, shifts)
    columns = Columns(len(seen.labels), Partial(out).columns if out else None)
    columns.write("label", 0, len(seen.labels), seen.labels)
    job = CorruptionJob(settings, len(seen.labels), out, reads_on=executor is None)
    failures: dict[int, Incomplete] = {}
    items = _items(settings, surveyed(seen, settings.block_size), progress)
    for item, rows in (executor or InProcess()).map(job, items):
        block = item.block
        if isinstance(rows, Failed):
            failed = Incomplete(start=block.start, stop=block.stop, cause=rows.cause)
            failures[block.start] = failed
            continue
        for c, predicted in enumerate(rows):
            name = _column(len(settings.classifiers), item.condition, c)
            columns.write(name, block.start, block.stop, predicted)
    incomplete = [failures[start] for start in sorted(failures)]
    if failures:
        columns.keep(computed_ranges(incomplete, len(seen.labels)))
        if not len(columns):
            raise DataError(f"no block could be computed: {incomplete[0].cause}")
    return _assembled(settings, columns, examples, incomplete, out)


def _assembled(
    settings: CorruptionSettings,
    columns: Columns,
    examples: dict[str, np.ndarray],
    incomplete: list[Incomplete],
    out: Path | None,
) -> Evaluated:
    """Return results and outcomes from the predictions under all conditions."""
    labels, evaluations = columns.read("label"), list[Evaluation]()
    for condition in range(len(settings.conditions)):
        scenario = settings.scenario_under(condition)
        record = scenario_record(scenario, settings.split, len(labels), settings.seed)
        for c, (name, classifier) in enumerate(settings.classifiers.items()):
            predicted = columns.read(_column(len(settings.classifiers), condition, c))
            subject = Subject(name, classifier, predicted)
            evaluations.append(summarize(subject, labels, record, settings.scenario.class_names))
    results = Results(
        evaluations=evaluations,
        environment=environment(),
        corruptions=corruption_errors(evaluations, settings.baseline),
        incomplete=incomplete,
    )
    sources = {"label": "label"}
    sources |= {f"e{number}_clean": f"e{number}_clean" for number in range(len(evaluations))}
    outcomes = written_outcomes(columns, sources, examples, Partial(out).folder if out else None)
    return Evaluated(identified(results, outcomes), outcomes, examples["example_images"][:0], [])


def _column(classifiers: int, condition: int, c: int) -> str:
    """Return the column of one classifier's predictions under one condition."""
    return f"e{condition * classifiers + c}_clean"


def _items(
    settings: CorruptionSettings, blocks: Sequence[Block], progress: Progress | None
) -> Iterator[ConditionBlock]:
    conditions = settings.conditions
    for condition, shift in enumerate(conditions):
        if progress:
            shown = "clean" if shift is None else Shifted(settings.scenario, shift).shift_name
            progress(shown, condition, len(conditions))
        for block in blocks:
            yield ConditionBlock(condition, block)


def _examples(settings: CorruptionSettings, shifts: Shifts) -> dict[str, np.ndarray]:
    """Return the first image, and what each corruption of middle severity makes of it."""
    chosen = [several[len(several) // 2] for several in shifts.values()]

    def first(scenario: Scenario) -> Images:
        return BlockReader(scenario, settings.split, 1, 1, reads_on=False).read(0).images

    shifted = [first(Shifted(settings.scenario, shift, settings.seed)) for shift in chosen]
    return {
        "example_index": np.zeros(1, np.int64),
        "example_images": first(settings.scenario),
        "example_corrupted": np.concatenate(shifted),
    }
