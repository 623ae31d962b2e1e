"""Evaluations that write a run folder: what the command `evaluate` does.

Each claims the folder, goes on where an interrupted run of the same settings stopped, and writes
`results.json`, the outcomes and `report.html` together, as the last step.

An evaluation sets the global seed, `keras.utils.set_random_seed`, as its first step: detectors make
generators of their own. So a call gives what the command gives, whatever was drawn before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from tfrobust.evaluation.corruptions.measuring import evaluate_corruptions
from tfrobust.evaluation.corruptions.settings import CorruptionSettings
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.learned_attacks import keep_learned
from tfrobust.evaluation.reattacking import reattack, with_earlier
from tfrobust.evaluation.run_frame import Run, RunOptions, before
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.evaluation.spending import spending_notes
from tfrobust.evaluation.warnings.notices import notices, suspicions
from tfrobust.evaluation.warnings.signs import with_signs
from tfrobust.report.page import write_run
from tfrobust.results.records import Results


def run(settings: EvaluationSettings, out: Path | str, **options: Unpack[RunOptions]) -> Results:
    """Evaluate, and write a run folder; after an interruption the same call goes on.

    Args:
        settings: what is evaluated, and how.
        out: the run folder. It is claimed: a second process that wants to write there is refused.
        **options: `force`, `progress`, `note`, `executor`: see `Run`.

    Returns:
        The content of `results.json`. Where it lists images as `incomplete`, the same call goes on
        and computes them.

    Raises:
        StoreError: the folder holds other things, is claimed by another process, or the disk
            refuses.
        UsageError, ClassifierError, DataError: as `evaluate`.

    Example:
        >>> settings = EvaluationSettings(classifiers={"d1": load("d1")},
        ...                               scenario=create("scenarios", "digits"),
        ...                               attacks=[create("attacks", "pgd", eps=0.1)])
        >>> run(settings, "runs/d1").evaluations[0].worst_case.accuracy
    """
    frame, out = Run(**options), Path(out)
    with frame.claimed(out, settings.seed) as partial:
        frame.tell(before(settings))
        evaluated = evaluate_settings(
            settings, partial=partial, progress=frame.progress, executor=frame.executor
        )
        if settings.diagnosis:
            evaluated = with_signs(settings, evaluated, frame.progress)
        write_run(out, evaluated)
        frame.tell(suspicions(evaluated.results, settings.classifiers))
        frame.tell(spending_notes(evaluated.results))
    return evaluated.results


def run_reattack(
    settings: EvaluationSettings, out: Path | str, **options: Unpack[RunOptions]
) -> Results:
    """Do what `reattack` does, and write a run folder; after an interruption the same call goes on.

    What attacks learned on each classifier is kept in the folder too, as `ATTACK-CLASSIFIER.npz`.

    Args:
        settings: of an evaluation with `crafted_on`, the classifier that was attacked before.
        out: as for `run`.
        **options: as for `run`.

    Returns:
        The content of `results.json`; see `run`.

    Raises:
        StoreError: as `run`.
        UsageError, ClassifierError, DataError: as `reattack`.
    """
    frame, out = Run(**options), Path(out)
    with frame.claimed(out, settings.seed) as partial:
        everyone = with_earlier(settings).classifiers
        frame.tell(notices(settings.scenario, everyone))
        evaluated = reattack(
            settings, partial=partial, progress=frame.progress, executor=frame.executor
        )

        def learned(folder: Path) -> None:
            keep_learned(settings.attacks, everyone, settings.scenario, folder, seed=settings.seed)

        write_run(out, evaluated, learned)
        frame.tell(suspicions(evaluated.results, settings.classifiers))
    return evaluated.results


def run_corruptions(
    settings: CorruptionSettings, out: Path | str, **options: Unpack[RunOptions]
) -> Results:
    """Measure under corruptions, and write a run folder; as `run` otherwise.

    Args:
        settings: what is measured, and how.
        out: as for `run`.
        **options: as for `run`; `progress` receives how many of the conditions are done.

    Returns:
        The content of `results.json`; see `run`.

    Raises:
        StoreError: as `run`.
        UsageError, ClassifierError, DataError: as `evaluate_corruptions`.
    """
    frame, out = Run(**options), Path(out)
    with frame.claimed(out, settings.seed):
        frame.tell(notices(settings.scenario, settings.classifiers))
        evaluated = evaluate_corruptions(
            settings, out=out, progress=frame.progress, executor=frame.executor
        )
        write_run(out, evaluated)
        frame.tell(suspicions(evaluated.results, settings.classifiers))
    return evaluated.results
