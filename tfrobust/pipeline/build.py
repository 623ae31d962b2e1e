"""From an architecture's name to a stored, servable classifier."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust import store
from tfrobust.classifier import AppliedDefense, Classifier
from tfrobust.classifiers.fingerprint import weights_digest
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.names import scenario_record
from tfrobust.data.reading import arrays, check_fits
from tfrobust.defense import Defense
from tfrobust.environment import environment, threads
from tfrobust.errors import UsageError
from tfrobust.files.atomic import made_before
from tfrobust.files.names import check_name
from tfrobust.model import ModelBuilder
from tfrobust.options import record
from tfrobust.pipeline.defense_order import check_order, outlived
from tfrobust.pipeline.workspace import (
    THREADS,
    UNFINISHED,
    close_workspace,
    occupied,
    open_workspace,
    version_note,
    workspace,
)
from tfrobust.registry import signature
from tfrobust.scenario import Scenario
from tfrobust.store.cards import Card, card_of, read_card
from tfrobust.store.new_versions import claimed_version
from tfrobust.training.trainer import Trainer


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
    card: Card
    fresh: bool = True


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A finished classifier that defences are to be learned for; it stays as it is.

    Attributes:
        name: what it was loaded by.
        classifier: itself.
        known_as: what tells it from others in the plan of a training; none: where it was loaded
            from.
    """

    name: str
    classifier: Classifier
    known_as: str | None = None


def as_built(model: ModelBuilder, scenario: Scenario) -> Deployed:
    """Return a network as it is built, with the weights that it starts from, as a finished one.

    Args:
        model: the architecture; its option `weights` says which weights.
        scenario: whose image shape and classes it is built for.

    Raises:
        DataError: the weights cannot be read, or do not fit.
    """
    made = signature(model)
    files = "".join(f" {name} {digest}" for name, digest in model.files.items())
    built = KerasClassifier(model.build(scenario.image_shape, scenario.num_classes))
    return Deployed(made["name"], built, known_as=f"{made['name']} {made['params']}{files}")


def train(
    model: ModelBuilder | Deployed,
    scenario: Scenario,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
) -> Classifier:
    """Build, train and defend a classifier; nothing is stored.

    Ordinary training comes first unless the first defence trains the classifier itself. What is
    deployed is not trained at all.

    Returns:
        The classifier, outermost defence last.

    Raises:
        UsageError: a defence refuses the network, or undoes an earlier one; said before any
            training where it can be known.
        ClassifierError: what is deployed does not fit the scenario.

    Example:
        >>> train(create("models", "lenet"), create("scenarios", "digits"),
        ...       Trainer(TrainingOptions(epochs=5)), [create("defenses", "pgd_training")])
    """
    import keras

    check_order(defenses)
    keras.utils.set_random_seed(trainer.options.seed)
    if isinstance(model, Deployed):
        adapts = bool(defenses) and defenses[0].adapts
        check_fits(model.classifier, scenario, model.name, classes=not adapts)
        _check(_only_training(defenses), model.classifier, scenario)
        return defended(model.classifier, defenses, scenario, trainer)
    with trainer.strategy.scope():
        built = model.build(scenario.image_shape, scenario.num_classes)
    classifier: Classifier = KerasClassifier(built, class_names=scenario.class_names)
    classifier.stochastic = answers_differ(classifier)
    _check(defenses, classifier, scenario)
    if not (defenses and defenses[0].trains):
        trainer.fit(classifier, scenario)
    return defended(classifier, defenses, scenario, trainer)


def _only_training(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse those that train nothing, or train from the beginning."""
    for defense in defenses:
        if defense.trains or not defense.fits:
            what = "the classifier from the beginning" if defense.trains else "nothing"
            raise UsageError(
                f"only: {signature(defense)['name']} trains {what}; expected a defence that "
                "trains beside a finished classifier or trains it further, such as calibrater"
            )
    return defenses


def _check(defenses: Sequence[Defense], classifier: Classifier, scenario: Scenario) -> None:
    """Let defences refuse an untrained network, up to the first that wraps it."""
    for defense in defenses:
        defense.check(classifier, scenario)
        if defense.wraps:
            break


def defended(
    classifier: Classifier, defenses: Sequence[Defense], scenario: Scenario, trainer: Trainer
) -> Classifier:
    """Apply defences in their order, and record them in what comes out.

    Raises:
        UsageError: one undoes an earlier one, or cannot follow it; said before any is applied.
    """
    check_order(defenses, classifier.defenses)
    for place, defense in enumerate(defenses):
        classifier.found = {}  # of the one before
        kept = outlived(classifier.defenses, defenses[:place], defense)
        after = defense.apply(classifier, scenario, trainer)
        classifier = recorded(defense, classifier, after, kept=kept)
    return classifier


def recorded(
    defense: Defense,
    before: Classifier,
    after: Classifier,
    *,
    kept: Sequence[AppliedDefense] | None = None,
) -> Classifier:
    """Return what a defence made of a classifier, with the defence among its own.

    Args:
        defense: that was applied.
        before: what it was applied to.
        after: what came out.
        kept: what is still true of earlier ones; by default all that is recorded of them.
    """
    applied = AppliedDefense(**signature(defense), found=_plain(after.found))
    after.defenses = (*(before.defenses if kept is None else kept), applied)
    return after


def _plain(found: Any) -> Any:
    """Return dicts and lists as such: TensorFlow wraps what is an attribute of its modules."""
    if isinstance(found, Mapping):
        return {name: _plain(value) for name, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list) else found


def untrained(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse one that would train anything.

    Raises:
        UsageError: naming it.
    """
    for defense in defenses:
        what = "a network of its own" if defense.learns else "the classifier"
        if defense.fits:
            raise UsageError(
                f"defense {signature(defense)['name']} trains {what}; give it to `tfrobust train`"
            )
    return defenses


def train_and_store(
    model: ModelBuilder | Deployed,
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
        model: the architecture, or a finished classifier.
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
        StoreError: an interrupted training is there and neither `resume` nor `force` is given; or
            another process trains the same name.
    """
    home = home_of(name, root)
    plan: dict[str, Any] = {
        "model": _model_record(model),
        "scenario": {"called": scenario_name, **scenario_record(scenario)},
        "defenses": [signature(defense) for defense in defenses],
        "training": record(trainer.options),
        THREADS: threads(),
    }
    with occupied(home):
        done = None if force else open_workspace(home, plan, resume=resume)
        if done is not None:
            folder = home / str(done)
            stored = store.load(folder)
            return Trained(stored, folder, read_card(folder) or card_of(stored), fresh=False)
        trainer.workspace, trainer.resume = home / UNFINISHED, resume and not force
        with workspace(home, plan, fresh=not trainer.resume):
            classifier = train(model, scenario, trainer, defenses)
            on_stage("measuring clean accuracy")
            images, labels = arrays(scenario, "test")
            card = card_of(
                classifier,
                scenario=scenario_name or plan["scenario"]["name"],
                model=plan["model"],
                training=plan["training"],
                seed=trainer.options.seed,
                clean_accuracy=float(
                    (clean_predictions(classifier, images, name) == labels).mean()
                ),
                versions=environment(),
            )
            on_stage("exporting")
            folder = _exported(classifier, home, card)
        close_workspace(home, plan | {"version": int(folder.name)}, classifier, card)
    return Trained(classifier, folder, card)


def _exported(classifier: Classifier, home: Path, card: Card) -> Path:
    """Return the version of a training, which a killed one may have stored already."""
    note = version_note(home)
    if stored := made_before(note, home):
        return stored
    with claimed_version(home) as place:
        return store.export(classifier, place, card=card, note=note)


def _model_record(model: ModelBuilder | Deployed) -> dict[str, Any]:
    """Return what tells the network that is trained, or the one that is deployed, from others."""
    if isinstance(model, ModelBuilder):
        files = dict(model.files)  # they are read whole for it
        return signature(model) | ({"files": files} if files else {})
    source = model.classifier.source
    card = read_card(Path(source)) if source else None
    carried = model.classifier.defenses
    defenses = [{"name": each.name, "params": each.params} for each in carried]
    known = card.model if card and card.model else {}
    told: dict[str, Any] = {"deployed": model.known_as or source}
    options = model.classifier.loaded_with
    if options and (loading := options.recorded()):
        told["loading"] = loading
    if weights := weights_digest(model.classifier):
        told |= {"weights_sha256": weights}  # another one may have its name by the time of a resume
    return known | told | ({"defenses": defenses} if defenses else {})


def home_of(name: str, root: Path | None) -> Path:
    """Return the folder of a name in the store.

    Raises:
        UsageError: it is no plain folder name.
    """
    check_name(name)
    return (root or store.store_root()) / name
