"""Classifiers × attacks → results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Unpack

from tfrobust.attack import Attack
from tfrobust.certification.beside import with_certificates
from tfrobust.classifier import Classifier
from tfrobust.data.shifted import base_and_shift
from tfrobust.data.survey import survey
from tfrobust.engine.object_boxes import needs_boxes
from tfrobust.environment.versions import environment
from tfrobust.errors import DataError
from tfrobust.evaluation.adaptive.passes import adaptive_passes, with_adaptive
from tfrobust.evaluation.blocks.block import Block, surveyed
from tfrobust.evaluation.blocks.columns import Columns
from tfrobust.evaluation.blocks.gathered import Judgement
from tfrobust.evaluation.blocks.gathering import Gathered
from tfrobust.evaluation.blocks.job import BlockWork, EvaluationJob
from tfrobust.evaluation.blocks.outcome_files import outcomes_of
from tfrobust.evaluation.blocks.rows import BlockRows
from tfrobust.evaluation.curves.warm_starts import with_smaller_budgets
from tfrobust.evaluation.detection import judge_detector
from tfrobust.evaluation.judging import left_to_do
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import (
    EvaluationOptions,
    EvaluationSettings,
    Progress,
    checked,
)
from tfrobust.evaluation.summaries import summarize
from tfrobust.execution.executor import Executor, Failed, InProcess
from tfrobust.registry import name_of
from tfrobust.results.records import Evaluation, Results, ScenarioRecord
from tfrobust.results.run_files import Evaluated, identified
from tfrobust.scenario import Scenario
from tfrobust.types import Labels

OnBlock = Callable[[int, Block, BlockRows], None]  # number of all images, a block and its rows


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
        partial: keeps finished work, so that an interrupted evaluation goes on;
            `tfrobust.evaluation.run` takes care of that.
        progress: receives how far each attack is.
        **options: `split`, `limit`, `crafted_on`, `baselines`, `detectors`, `watched`, `targets`,
            `seed`, `batch_size`, `block_size`, `keep_images`, `diagnosis`, `adaptive`,
            `follows_surrogate`, `warm_start`, `certifiers`: see `EvaluationSettings`.

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
    executor: Executor | None = None,
) -> Evaluated:
    """Do what `evaluate` does, with all options in one object.

    Args:
        settings: what is evaluated, and how.
        partial: keeps finished work.
        progress: receives how far it is.
        executor: computes the blocks; `None`: this process.
    """
    settings = checked(settings)
    adaptive = adaptive_passes(settings)
    passes = settings, *(one.settings for one in adaptive)
    gathered = gather(passes, partial, progress=progress, executor=executor)
    evaluated = assemble(settings, gathered, with_adaptive(gathered, adaptive), partial)
    return with_certificates(
        evaluated,
        settings.certifiers,
        settings.classifiers,
        settings.scenario,
        finished=partial,
        progress=progress,
        executor=executor,
    )


def gather(
    passes: tuple[EvaluationSettings, ...],
    partial: Partial | None,
    *,
    progress: Progress | None = None,
    executor: Executor | None = None,
    on_block: OnBlock | None = None,
) -> Gathered:
    """Compute all blocks, and gather their rows.

    Args:
        passes: settings that share their images; see `EvaluationJob`.
        partial: keeps finished work.
        progress: receives how far it is.
        executor: computes the blocks; `None`: this process.
        on_block: receives the rows and images of every block, of settings that keep images; they
            are then not gathered.

    Raises:
        DataError: the images break the contract, or no block could be computed.
    """
    first = passes[0]
    all_attacks = [attack for p in passes for attack in (*p.attacks, *(p.baselines or ()))]
    boxes = needs_boxes(all_attacks, first.scenario, first.split)
    seen = survey(first.scenario, first.split, first.limit, first.block_size, boxes=boxes)
    job = EvaluationJob(
        passes=passes,
        images=len(seen.labels),
        boxes=boxes,
        out=partial.out if partial else None,
        progress=progress if executor is None else None,
        reads_on=executor is None,
    )
    if executor and partial:
        here = dataclasses.replace(job, progress=progress)
        job = dataclasses.replace(BlockWork(here).with_learned(partial.folder), progress=None)
    columns = Columns(job.images, partial.columns if partial else None)
    gathered = Gathered(passes, seen, columns, keep=on_block is None)
    done = 0
    for block, rows in (executor or InProcess()).map(job, surveyed(seen, first.block_size)):
        if isinstance(rows, Failed):
            gathered.fail(block, rows.cause)
        else:
            gathered.add(block, rows)
            if on_block:
                on_block(job.images, block, rows)
        done += len(block)
        if progress and executor:
            progress("images", done, job.images)
    gathered.finish()
    for classifier in {c for p in passes for c in (*p.classifiers.values(), *p.attacked.values())}:
        if classifier.meter is not None:
            classifier.meter.prove()
    if not gathered.ranges:
        raise DataError(f"no block could be computed: {gathered.incomplete[0].cause}")
    return gathered


def assemble(
    settings: EvaluationSettings,
    gathered: Gathered,
    judged: Sequence[Judgement],
    partial: Partial | None = None,
) -> Evaluated:
    """Return results and outcomes from the judgements of all classifiers."""
    labels = gathered.labels
    scenario = scenario_record(settings.scenario, settings.split, len(labels), settings.seed)
    known = settings.scenario.class_names
    results = Results(
        evaluations=[_evaluation(settings, scenario, known, labels, j) for j in judged],
        environment=environment(),
        incomplete=gathered.incomplete,
    )
    outcomes = outcomes_of(gathered, judged, partial.folder if partial else None)
    images = gathered.images()
    adversarial = [
        [run.images() for run in judgement.attacked if len(images)] for judgement in judged
    ]
    return Evaluated(identified(results, outcomes), outcomes, images, adversarial)


def _evaluation(
    settings: EvaluationSettings,
    scenario: ScenarioRecord,
    known: tuple[str, ...],
    labels: Labels,
    judgement: Judgement,
) -> Evaluation:
    subject, lines = judgement.subject, []
    for run in judgement.attacked:
        fooled = run.column("success") & left_to_do(run.attack, subject.clean, labels)
        for detector, rows in zip(settings.detectors, run.detectors(), strict=False):
            lines.append(judge_detector(detector, run.attack, rows, fooled))
    evaluation = summarize(
        subject,
        labels,
        scenario,
        known,
        judgement.attacked,
        baselines=judgement.baselines,
        detectors=lines,
        adaptive=judgement.adaptive,
    )
    if not settings.warm_start:
        return evaluation
    attacks = with_smaller_budgets(evaluation.attacks, settings.attacks)
    return evaluation.model_copy(update={"attacks": attacks})


def scenario_record(scenario: Scenario, split: str, images: int, seed: int) -> ScenarioRecord:
    """Return on which images something was measured."""
    base, shift = base_and_shift(scenario)
    return ScenarioRecord(name=name_of(base), shift=shift, split=split, images=images, seed=seed)
