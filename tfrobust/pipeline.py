"""From an architecture's name to a stored, servable classifier."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfrobust import store
from tfrobust.audit import clean_predictions
from tfrobust.classifier import AppliedDefense, Classifier, KerasClassifier, answers_differ
from tfrobust.defense import Defense
from tfrobust.errors import StoreError, UsageError, one_line
from tfrobust.files import folder_beside, refused_disk, write_beside
from tfrobust.model import ModelBuilder
from tfrobust.options import record
from tfrobust.registry import signature
from tfrobust.results import environment
from tfrobust.scenario import Scenario, arrays, scenario_record
from tfrobust.training import Trainer

FINISHED, UNFINISHED = "training", "unfinished"  # beside the versions


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes:
        classifier: with the best weights.
        folder: its version folder in the store.
        card: what is recorded there.
        fresh: `False` where it had been finished before and nothing was done.
    """

    classifier: Classifier
    folder: Path
    card: store.Card
    fresh: bool = True


def train(
    model: ModelBuilder,
    scenario: Scenario,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
) -> Classifier:
    """Build, train and defend a classifier; nothing is stored.

    Ordinary training comes first unless the first defence trains the classifier itself.

    Returns:
        The classifier, outermost defence last.

    Example:
        >>> train(create("models", "lenet"), create("scenarios", "digits"),
        ...       Trainer(TrainingOptions(epochs=5)), [create("defenses", "pgd_training")])
    """
    import keras

    keras.utils.set_random_seed(trainer.options.seed)
    with trainer.strategy.scope():
        built = model.build(scenario.image_shape, scenario.num_classes)
    classifier: Classifier = KerasClassifier(built, class_names=scenario.class_names)
    classifier.stochastic = answers_differ(classifier)
    if not (defenses and defenses[0].trains):
        trainer.fit(classifier, scenario)
    return defended(classifier, defenses, scenario, trainer)


def defended(
    classifier: Classifier, defenses: Sequence[Defense], scenario: Scenario, trainer: Trainer
) -> Classifier:
    """Apply defences in their order, and record them in what comes out."""
    for defense in defenses:
        before = classifier.defenses
        classifier = defense.apply(classifier, scenario, trainer)
        classifier.defenses = (*before, AppliedDefense(**signature(defense)))
    return classifier


def untrained(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse one that would train what is finished already.

    Raises:
        UsageError: naming it.
    """
    for defense in defenses:
        if defense.trains:
            raise UsageError(
                f"defense {signature(defense)['name']} trains the classifier; give it to "
                "`tfrobust train`"
            )
    return defenses


def train_and_store(
    model: ModelBuilder,
    scenario: Scenario,
    name: str,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
    *,
    scenario_name: str | None = None,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train a classifier and export it as the next version of `name`.

    Args:
        model: the architecture.
        scenario: the data.
        name: in the store.
        trainer: its `workspace` and `resume` are set here.
        defenses: in the order they are applied.
        scenario_name: as the user wrote it, for the card.
        resume: go on with an interrupted training of the same configuration.
        force: throw an interrupted training away.
        root: the store.
        on_stage: told what is being done, a few words at a time.

    Returns:
        The classifier, its folder and its card.

    Raises:
        UsageError: a name that is no folder name; `resume` with another configuration.
        StoreError: an interrupted training is there and neither `resume` nor `force` is given.
    """
    home = _home(name, root)
    plan: dict[str, Any] = {
        "model": signature(model),
        "scenario": {"called": scenario_name, **scenario_record(scenario)},
        "defenses": [signature(defense) for defense in defenses],
        "training": record(trainer.options),
    }
    done = None if force else _open_workspace(home, plan, resume=resume)
    if done is not None:
        folder = home / str(done)
        card = store.read_card(folder) or store.Card(image_shape=(0, 0, 0), class_names=())
        return Trained(store.load(folder), folder, card, fresh=False)
    trainer.workspace, trainer.resume = home / UNFINISHED, resume and not force
    with _workspace(home, plan, fresh=not trainer.resume):
        classifier = train(model, scenario, trainer, defenses)
    on_stage("measuring clean accuracy")
    images, labels = arrays(scenario, "test")
    card = store.card_of(
        classifier,
        scenario=scenario_name or plan["scenario"]["name"],
        model=plan["model"],
        training=plan["training"],
        seed=trainer.options.seed,
        clean_accuracy=float((clean_predictions(classifier, images, name) == labels).mean()),
        versions=environment(),
    )
    on_stage("exporting")
    folder = store.export(classifier, store.next_version(home), card=card)
    _close_workspace(home, plan, int(folder.name), classifier)
    return Trained(classifier, folder, card)


def _home(name: str, root: Path | None) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(
            "name: expected a plain folder name of letters, digits, '_', '-' and '.'; "
            f"received: {name!r}"
        )
    return (root or store.store_root()) / name


def _open_workspace(home: Path, plan: dict[str, Any], *, resume: bool) -> int | None:
    """Look what is there already; return the version that this very plan ended in, if it did.

    Raises:
        StoreError: an interrupted training is there and is not to be resumed.
        UsageError: it is to be resumed, but with another plan.
    """
    begun = _read_plan(home / UNFINISHED / "plan.json")
    if begun is not None and _resumable(home):
        if not resume:
            raise StoreError(
                f"{home}: an interrupted training is here; go on with --resume, "
                "or start over with --force"
            )
        if begun != plan:
            raise UsageError(
                f"resume: {home.name} was started with another configuration "
                f"({_difference(begun, plan)}); repeat it as it was, or start over with --force"
            )
        return None
    finished = _read_plan(home / FINISHED / "plan.json") or {}
    version = finished.pop("version", None)
    return version if resume and finished == plan and version in store.versions(home) else None


@contextlib.contextmanager
def _workspace(home: Path, plan: dict[str, Any], *, fresh: bool) -> Iterator[None]:
    """Make the workspace; take it away again if training stops with nothing to resume."""
    workspace = home / UNFINISHED
    with refused_disk(home):
        if fresh:
            shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(parents=True, exist_ok=True)
    try:
        _write_plan(workspace / "plan.json", plan)
        yield
    except BaseException:
        if not _resumable(home):
            shutil.rmtree(workspace, ignore_errors=True)
            if not any(home.iterdir()):
                home.rmdir()
        raise


def _resumable(home: Path) -> bool:
    return any((home / UNFINISHED).glob("stage-*/checkpoint"))


def _close_workspace(
    home: Path, plan: dict[str, Any], version: int, classifier: Classifier
) -> None:
    """Keep plan and Keras model to train on from, in place of the version's before."""
    while not isinstance(classifier, KerasClassifier) and hasattr(classifier, "inner"):
        classifier = classifier.inner
    with folder_beside(home / FINISHED) as beside:
        _write_plan(beside / "plan.json", {**plan, "version": version})
        if isinstance(classifier, KerasClassifier):
            classifier.model.save(beside / "model.keras")
    shutil.rmtree(home / UNFINISHED, ignore_errors=True)


def _read_plan(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text()) if path.exists() else None
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{path}: cannot be read ({one_line(error)}); start over with --force"
        ) from error


def _write_plan(path: Path, plan: dict[str, Any]) -> None:
    write_beside(path, lambda beside: beside.write_text(json.dumps(plan, indent=1) + "\n"))


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the first option that differs: `training.epochs: 5 then, 10 now`."""
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict) and old != new:
            return f"{key}.{_difference(old, new)}"
        if old != new:
            return f"{key}: {old} then, {new} now"
    return "nothing differs"
