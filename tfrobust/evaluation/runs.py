"""Evaluations that write a run folder: what the commands `evaluate` and `attack` do.

Each claims the folder, goes on where an interrupted run of the same settings stopped, and writes
`results.json`, `outcomes.npz` and `report.html` together, as the last step.

An evaluation sets the global seed, `keras.utils.set_random_seed`, as its first step: detectors make
generators of their own. So a call gives what the command gives, whatever was drawn before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import keras

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.learning import Learned, LearningAttack, remembering
from tfrobust.errors import UsageError
from tfrobust.evaluation.corruptions import CorruptionSettings, evaluate_corruptions
from tfrobust.evaluation.evaluator import evaluate_settings
from tfrobust.evaluation.learned_attacks import keep_learned, learned_from
from tfrobust.evaluation.notices import notices, suspicions
from tfrobust.evaluation.reattacking import reattack, with_earlier
from tfrobust.evaluation.resuming import Partial
from tfrobust.evaluation.settings import EvaluationSettings, Progress
from tfrobust.files.output_folders import PARTIAL, output_folder
from tfrobust.registry import name_of
from tfrobust.report.page import write_adversarial, write_run
from tfrobust.results.records import Results

Note = Callable[[str], object]  # receives a line that the user should read
Serve = Callable[[Learned, Path], object]  # receives what an attack learned, and a folder


def _no_note(line: str) -> None:
    """Let a line go unread."""


def run(
    settings: EvaluationSettings,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    note: Note = _no_note,
) -> Results:
    """Evaluate, and write a run folder; after an interruption the same call goes on.

    Args:
        settings: what is evaluated, and how.
        out: the run folder. It is claimed: a second process that wants to write there is refused.
        force: write also where the folder holds other things.
        progress: receives how far each attack is.
        note: receives lines that the user should read, such as what was converted when a
            classifier was loaded.

    Returns:
        The content of `results.json`.

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
    out = Path(out)
    with _claimed(out, force):
        keras.utils.set_random_seed(settings.seed)
        _tell(_before(settings), note)
        evaluated = evaluate_settings(settings, partial=Partial(out), progress=progress)
        write_run(out, evaluated)
        _tell(suspicions(evaluated.results, settings.classifiers), note)
    return evaluated.results


def run_reattack(
    settings: EvaluationSettings,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    note: Note = _no_note,
) -> Results:
    """Do what `reattack` does, and write a run folder; after an interruption the same call goes on.

    What attacks learned on each classifier is kept in the folder too, as `ATTACK-CLASSIFIER.npz`.

    Args:
        settings: of an evaluation with `crafted_on`, the classifier that was attacked before.
        out: as for `run`, like all that follows.
        force: see `run`.
        progress: see `run`.
        note: see `run`.

    Returns:
        The content of `results.json`.

    Raises:
        StoreError: as `run`.
        UsageError, ClassifierError, DataError: as `reattack`.
    """
    out = Path(out)
    with _claimed(out, force):
        keras.utils.set_random_seed(settings.seed)
        everyone = with_earlier(settings).classifiers
        _tell(notices(settings.scenario, everyone), note)
        evaluated = reattack(settings, partial=Partial(out), progress=progress)

        def learned(folder: Path) -> None:
            keep_learned(settings.attacks, everyone, settings.scenario, folder, seed=settings.seed)

        write_run(out, evaluated, learned)
        _tell(suspicions(evaluated.results, settings.classifiers), note)
    return evaluated.results


def run_corruptions(
    settings: CorruptionSettings,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    note: Note = _no_note,
) -> Results:
    """Measure under corruptions, and write a run folder; as `run` otherwise.

    Args:
        settings: what is measured, and how.
        out: as for `run`, like all that follows.
        force: see `run`.
        progress: receives how many of the conditions are done.
        note: see `run`.

    Returns:
        The content of `results.json`.

    Raises:
        StoreError: as `run`.
        UsageError, ClassifierError, DataError: as `evaluate_corruptions`.
    """
    out = Path(out)
    with _claimed(out, force):
        keras.utils.set_random_seed(settings.seed)
        _tell(notices(settings.scenario, settings.classifiers), note)
        evaluated = evaluate_corruptions(settings, out=out, progress=progress)
        write_run(out, evaluated)
        _tell(suspicions(evaluated.results, settings.classifiers), note)
    return evaluated.results


def craft(
    settings: EvaluationSettings,
    out: Path | str,
    *,
    force: bool = False,
    serve: Serve | None = None,
    progress: Progress | None = None,
    note: Note = _no_note,
) -> Results:
    """Run one attack on one classifier, and write the adversarial images into the run folder too.

    `adversarial.npz` holds `images` (adversarial), `labels` and `clean`; the scenario `arrays`
    reads it. What the attack learned lies beside it, as `ATTACK.npz`.

    Args:
        settings: of one classifier and one attack.
        out: as for `run`.
        force: see `run`.
        serve: exports what the attack learned, if it learns: called before anything is written,
            with the hidden folder where an interrupted run keeps what it has finished.
        progress: see `run`.
        note: see `run`.

    Returns:
        The content of `results.json`.

    Raises:
        UsageError: there are several classifiers or attacks, or nothing is learned to `serve`.
        StoreError, ClassifierError, DataError: as `run`.

    Example:
        >>> craft(settings, "runs/pgd").evaluations[0].attacks[0].success_rate
        >>> create("scenarios", "arrays", file="runs/pgd/adversarial.npz")
    """
    out, settings = Path(out), dataclasses.replace(settings, keep_images=True)
    classifier, attack = _only(settings)
    if serve and not isinstance(attack, LearningAttack):
        raise UsageError(f"serve: {name_of(attack)} learns nothing that could be exported")
    with _claimed(out, force):
        _tell(_before(settings), note)
        evaluated = evaluate_settings(settings, partial=Partial(out), progress=progress)
        ready = None
        if isinstance(attack, LearningAttack):
            ready = learned_from(attack, classifier, settings.scenario, seed=settings.seed)
            if serve:
                serve(ready, out / PARTIAL)

        def images(folder: Path) -> None:
            write_adversarial(folder, evaluated)
            if ready and ready.wrapped.file is None:
                ready.save(folder / f"{name_of(attack)}.npz")

        write_run(out, evaluated, images)
        _tell(suspicions(evaluated.results, settings.classifiers), note)
    return evaluated.results


@contextlib.contextmanager
def _claimed(out: Path, force: bool) -> Iterator[None]:
    """Claim a run folder, and let attacks find there what they learned before an interruption."""
    with output_folder(out, force=force), remembering(out / PARTIAL):
        yield


def _before(settings: EvaluationSettings) -> Iterator[str]:
    everyone = {**settings.classifiers, **settings.attacked}
    return notices(settings.scenario, everyone, settings.attacks, settings.attacked)


def _tell(lines: Iterable[str], note: Note) -> None:
    for line in lines:
        note(line)


def _only(settings: EvaluationSettings) -> tuple[Classifier, Attack]:
    """Return the one classifier and the one attack."""
    if len(settings.classifiers) != 1 or len(settings.attacks) != 1:
        raise UsageError(
            "craft: expected one classifier and one attack; received: "
            f"{', '.join(settings.classifiers)} and {len(settings.attacks)} attacks"
        )
    return next(iter(settings.classifiers.values())), settings.attacks[0]
