"""The folder a training works in: its plan, what may be resumed, and what is kept of it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic

from tfrobust.classifier import Classifier, Trainable
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import RobustError, StoreError, UsageError, one_line
from tfrobust.files.atomic import atomic_folder, atomic_write, disk_errors, made_before
from tfrobust.files.claims import LOCK, alone, made_folder
from tfrobust.files.leftovers import remove_folder, sweep
from tfrobust.files.reading import checked_record, parse_json, read_bytes
from tfrobust.files.record_types import Seed, Text
from tfrobust.registry import create
from tfrobust.store.cards import Card, renewed, write_card
from tfrobust.store.models import versions

FINISHED, UNFINISHED = "training", "unfinished"  # beside the versions
THREADS = "threads"  # in a plan: how many the training ran with


@contextlib.contextmanager
def occupied(home: Path) -> Iterator[None]:
    """Let one training of a name be at work at a time; an empty folder does not stay.

    Raises:
        StoreError: another process trains it, or the disk refuses.
    """
    busy = (
        f"{home}: another training of {home.name} is at work; wait until it is done, or choose "
        "another --name"
    )
    with contextlib.ExitStack() as held:
        with disk_errors(home):
            held.enter_context(made_folder(home))
            held.enter_context(alone(home / LOCK, busy))
        for folder in home.parent.iterdir():  # what was killed may never be trained again
            sweep(folder)
        yield


class _Plugin(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    name: Text
    params: dict[str, Any]


class _Shift(_Plugin):
    seed: Seed


class _Scenario(_Plugin):
    shift: _Shift | None = None


class _Model(pydantic.BaseModel):
    deployed: Text | None = None
    defenses: list[_Plugin] = []


class _Plan(pydantic.BaseModel):
    """What a plan must hold, whoever wrote it."""

    model: _Model
    scenario: _Scenario
    defenses: list[_Plugin]
    training: dict[str, Any]
    threads: int | None = pydantic.Field(default=None, ge=0, strict=True)


class _FinishedPlan(_Plan):
    """That of a finished training tells the version it ended in."""

    version: int = pydantic.Field(ge=0, lt=10**18, strict=True)


def open_workspace(home: Path, plan: dict[str, Any], *, resume: bool) -> int | None:
    """Look what is there already; return the version that this very plan ended in, if it did.

    Raises:
        StoreError: an interrupted training is there and is not to be resumed.
        UsageError: it is to be resumed, but with another plan, or number of threads.
    """
    begun = read_plan(home / UNFINISHED / "plan.json")
    finished = read_plan(home / FINISHED / "plan.json") or {}
    version = finished.pop("version", None)
    over = begun == finished and made_before(version_note(home), home) == home / str(version)
    if over or begun is None or not _resumable(home):
        with disk_errors(home):
            remove_folder(home / UNFINISHED)  # a kill in its last moments, or before its first
        begun = None
    if begun is not None:
        if not resume:
            raise StoreError(
                f"{home}: an interrupted training is here; go on with --resume, "
                "or start over with --force"
            )
        if _weighs(begun) != _weighs(plan):
            raise UsageError(
                f"resume: {home.name} was started with another configuration "
                f"({_difference(_asked(begun), _asked(plan))}); repeat it as it was, or start "
                "over with --force"
            )
        _check_threads(home, begun, plan)
        if _asked(begun) != _asked(plan):
            version_note(home).unlink(missing_ok=True)  # that version has other defences round it
        return None
    same = _asked(finished) == _asked(plan)
    return version if resume and same and version in versions(home) else None


def version_note(home: Path) -> Path:
    """Return the file that tells which version a training is about to store."""
    return home / UNFINISHED / "version.json"


def _asked(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan was asked for."""
    return {name: value for name, value in plan.items() if name != THREADS}


def _weighs(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan decides the weights: not the defences put round them in the end."""
    defenses = list(plan["defenses"])
    while defenses and not _trains(defenses[-1]):
        defenses.pop()
    return _asked(plan) | {"defenses": defenses}


def _check_threads(home: Path, begun: dict[str, Any], plan: dict[str, Any]) -> None:
    """Refuse to go on with sums that are split otherwise; older plans tell no number."""
    then, now = begun.get(THREADS), plan.get(THREADS)
    if then is not None and now is not None and then != now:
        raise UsageError(
            f"resume: {home.name} was started with {then} threads; received: {now}, which would "
            f"end at other weights; set TF_NUM_INTRAOP_THREADS={then}, or start over with --force"
        )


def _trains(planned: dict[str, Any]) -> bool:
    try:
        return create("defenses", planned["name"], **planned["params"]).fits
    except RobustError:
        return True  # a stranger: who knows


@contextlib.contextmanager
def workspace(home: Path, plan: dict[str, Any], *, fresh: bool) -> Iterator[None]:
    """Make the workspace; take it away again if training stops with nothing to resume.

    What is refused before its first epoch would be refused again, whatever is kept of it.
    """
    folder = home / UNFINISHED
    with disk_errors(home):
        if fresh:
            remove_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
    try:
        _write_plan(folder / "plan.json", plan)
        yield
    except BaseException as error:
        refused = isinstance(error, UsageError) and not _trained(home)
        if refused or not _resumable(home):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _resumable(home: Path) -> bool:
    """Tell whether anything is done: an epoch, what a defence keeps, or all but the last steps."""
    kept = any(kept_work(home / UNFINISHED).glob("*"))
    return kept or _trained(home) or made_before(version_note(home), home) is not None


def _trained(home: Path) -> bool:
    """Tell whether an epoch is finished."""
    return any((home / UNFINISHED).glob("stage-*/checkpoint"))


def kept_work(folder: Path) -> Path:
    """Return where defences keep what they did in a workspace beside training: files, no folders.

    It goes with the workspace; what lies there was made by the same plan.
    """
    return folder / "kept"


def close_workspace(home: Path, plan: dict[str, Any], classifier: Classifier, card: Card) -> None:
    """Keep plan and Keras models to train on from, in place of the version's before.

    The classifier's own is kept without the defences that stand round it, and has a card of its
    own; beside it lies what defences have learned, each as `learned-NUMBER.keras`.
    """
    with atomic_folder(home / FINISHED) as beside:
        _write_plan(beside / "plan.json", plan)
        while not isinstance(classifier, KerasClassifier) and classifier.inner is not None:
            if isinstance(classifier, Trainable):
                classifier.model.save(learned_file(beside, len(classifier.defenses)))
            classifier = classifier.inner
        if isinstance(classifier, KerasClassifier):
            classifier.model.save(beside / "model.keras")
            write_card(beside / "model.keras", renewed(card, classifier))
    with disk_errors(home):
        remove_folder(home / UNFINISHED)


def learned_file(folder: Path, number: int) -> Path:
    """Return where the model lies that the so manieth defence of a classifier has learned."""
    return folder / f"learned-{number}.keras"


def read_plan(path: Path) -> dict[str, Any] | None:
    """Return what was to be trained; `None` if no plan is there.

    Raises:
        StoreError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        text = read_bytes(path)
        checked_record(_FinishedPlan if path.parent.name == FINISHED else _Plan, text)
        found: dict[str, Any] = parse_json(text)
        return found
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({one_line(error)}); start over with --force"
        ) from error


def _write_plan(path: Path, plan: dict[str, Any]) -> None:
    text = json.dumps(plan, indent=1) + "\n"
    atomic_write(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the first option that differs: `training.epochs: 5 then, 10 now`."""
    for key in {**before, **now}:
        if before.get(key) == now.get(key):
            continue
        old, new = _by_name(before.get(key)), _by_name(now.get(key))
        if old == new:
            return f"{key}: in another order"
        if isinstance(old, dict) and isinstance(new, dict):
            return f"{key}.{_difference(old, new)}"
        return f"{key}: {old} then, {new} now"
    return "nothing differs"


def _by_name(value: Any) -> Any:
    """Return a list of plugins as name → options, in which a difference is found by its name."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        return value
    names = [each["name"] for each in value]
    return {
        name if names.count(name) == 1 else f"{name} ({place})": each["params"]
        for place, (name, each) in enumerate(zip(names, value, strict=True), 1)
    }
