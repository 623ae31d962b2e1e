"""The folder that a training works in, what of it can be resumed, and what is kept of it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier, Trainable
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import StoreError, UsageError
from tfrobust.files.atomic import atomic_folder, disk_errors, made_before
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import remove_folder, sweep
from tfrobust.pipeline.plans import (
    ONEDNN,
    THREADS,
    decides_weights,
    difference,
    read_plan,
    requested,
    write_plan,
)
from tfrobust.store.cards import Card, renewed, write_card
from tfrobust.store.layout import (
    check_trainable_name,
    move_trainings,
    training_folder,
    unfinished_folder,
    versions,
)


@contextlib.contextmanager
def occupied(home: Path) -> Iterator[None]:
    """Let only one training of a name run at a time; an empty folder is removed again.

    What an older store has among the versions is moved out of there.

    Raises:
        StoreError: another process trains it, or the disk refuses.
        UsageError: no training can have this name.
    """
    check_trainable_name(home)
    busy = (
        f"{home}: another training of {home.name} is at work; wait until it is done, or choose "
        "another --name"
    )
    with contextlib.ExitStack() as held:
        with disk_errors(home):
            held.enter_context(made_folder(home))
            held.enter_context(alone(home / LOCK, busy))
            move_trainings(home)
        sweep(home.parent)
        for folder in home.parent.iterdir():  # what was killed may never be trained again
            sweep(folder)
        yield


def open_workspace(home: Path, plan: dict[str, Any], *, resume: bool) -> int | None:
    """Find what an earlier training left; return the version if this very plan is finished.

    Raises:
        StoreError: an interrupted training is there and `resume` is not given.
        UsageError: it is to be resumed with another plan, other threads or other kernels.
    """
    begun = read_plan(unfinished_folder(home) / "plan.json")
    finished = read_plan(training_folder(home) / "plan.json") or {}
    version = finished.pop("version", None)
    over = begun == finished and made_before(version_note(home), home) == home / str(version)
    if over or begun is None or not _resumable(home):
        with disk_errors(home):
            remove_folder(
                unfinished_folder(home)
            )  # a kill in its last moments, or before its first
        begun = None
    if begun is not None:
        if not resume:
            raise StoreError(
                f"{home}: an interrupted training is here; go on with --resume, "
                "or start over with --force"
            )
        if decides_weights(begun) != decides_weights(plan):
            raise UsageError(
                f"resume: {home.name} was started with another configuration "
                f"({difference(requested(begun), requested(plan))}); repeat it as it was, or start "
                "over with --force"
            )
        _check_arithmetic(home, begun, plan)
        if requested(begun) != requested(plan):
            version_note(home).unlink(missing_ok=True)  # that version has other defences around it
        return None
    same = requested(finished) == requested(plan)
    return version if resume and same and version in versions(home) else None


def plan_stamps(home: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return which plans lie here: it changes when a training of this name begins, and ends."""
    folders = unfinished_folder(home), training_folder(home)
    return tuple(_stamp(folder / "plan.json") for folder in folders)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def version_note(home: Path) -> Path:
    """Return the file that tells which version a training is about to store."""
    return unfinished_folder(home) / "version.json"


def _check_arithmetic(home: Path, begun: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse to go on with other threads or kernels, which sum in another order.

    Older plans record neither.
    """
    for name, called, variable in (
        (THREADS, "{} threads", "TF_NUM_INTRAOP_THREADS"),
        (ONEDNN, "oneDNN's kernels: {}", "TF_ENABLE_ONEDNN_OPTS"),
    ):
        then, now = begun.get(name), plan.get(name)
        if then is not None and now is not None and then != now:
            raise UsageError(
                f"resume: {home.name} was started with {called.format(_said(then))}; received: "
                f"{_said(now)}, which would end at other weights; set {variable}={int(then)}, or "
                "start over with --force"
            )


def _said(value: int | bool) -> str:
    return str(value) if type(value) is int else ("on" if value else "off")


@contextlib.contextmanager
def workspace(home: Path, plan: dict[str, Any], *, fresh: bool) -> Iterator[None]:
    """Make the workspace; remove it again if training stops with nothing to resume.

    A training that is refused before its first epoch would be refused again when it is resumed.
    """
    folder = unfinished_folder(home)
    with disk_errors(home):
        if fresh:
            remove_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
    try:
        write_plan(folder / "plan.json", plan)
        yield
    except BaseException as error:
        refused = isinstance(error, UsageError) and not _trained(home)
        if refused or not _resumable(home):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _resumable(home: Path) -> bool:
    """Tell whether anything is done: an epoch, what a defence keeps, or all but the last steps."""
    kept = any(kept_work(unfinished_folder(home)).glob("*"))
    return kept or _trained(home) or made_before(version_note(home), home) is not None


def _trained(home: Path) -> bool:
    """Tell whether an epoch is finished."""
    return any((unfinished_folder(home)).glob("stage-*/checkpoint"))


def kept_work(folder: Path) -> Path:
    """Return the folder of a workspace where defences keep intermediate results, as files.

    It is removed with the workspace, and so its files come from the same plan.
    """
    return folder / "kept"


def tracker_keys(home: Path) -> Path:
    """Return the file of the runs of trackers that follow a training; it is removed with it."""
    return unfinished_folder(home) / "trackers.json"


def close_workspace(home: Path, plan: dict[str, Any], classifier: Classifier, card: Card) -> None:
    """Replace what is kept of the last version: the plan, and Keras models to train further.

    The network is kept without the defences around it, with a card of its own. Each model that a
    defence has trained lies beside it as `learned-NUMBER.keras`.
    """
    with atomic_folder(training_folder(home)) as folder:
        write_plan(folder / "plan.json", plan)
        while not isinstance(classifier, KerasClassifier) and classifier.inner is not None:
            if isinstance(classifier, Trainable):
                classifier.model.save(learned_file(folder, len(classifier.defenses)))
            classifier = classifier.inner
        if isinstance(classifier, KerasClassifier):
            classifier.model.save(folder / "model.keras")
            write_card(folder / "model.keras", renewed(card, classifier))
    with disk_errors(home):
        remove_folder(unfinished_folder(home))


def learned_file(folder: Path, number: int) -> Path:
    """Return the file of the model that a classifier's NUMBERth defence has trained, from 1."""
    return folder / f"learned-{number}.keras"
