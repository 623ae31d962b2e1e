"""From an architecture's name to a stored, servable classifier."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tfrobust import store
from tfrobust.audit import clean_predictions
from tfrobust.cards import Card, card_of, read_card
from tfrobust.classifier import AppliedDefense, Classifier, KerasClassifier, answers_differ
from tfrobust.defense import Defense
from tfrobust.errors import RobustError, UsageError
from tfrobust.model import ModelBuilder
from tfrobust.options import record
from tfrobust.registry import create, signature
from tfrobust.results import environment
from tfrobust.scenario import Scenario, arrays
from tfrobust.scenes import open_scenario, scenario_record
from tfrobust.training import Trainer
from tfrobust.workspace import (
    FINISHED,
    UNFINISHED,
    close_workspace,
    open_workspace,
    read_plan,
    workspace,
)


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

    Raises:
        UsageError: a defence refuses the network; said before any training where it can be known.

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
    _check(defenses, classifier, scenario)
    if not (defenses and defenses[0].trains):
        trainer.fit(classifier, scenario)
    return defended(classifier, defenses, scenario, trainer)


def _check(defenses: Sequence[Defense], classifier: Classifier, scenario: Scenario) -> None:
    """Let defences refuse an untrained network, up to the first that wraps it."""
    for defense in defenses:
        defense.check(classifier, scenario)
        if not defense.trains:
            break


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
        "model": signature(model) | ({"files": dict(model.files)} if model.files else {}),
        "scenario": {"called": scenario_name, **scenario_record(scenario)},
        "defenses": [signature(defense) for defense in defenses],
        "training": record(trainer.options),
    }
    done = None if force else open_workspace(home, plan, resume=resume)
    if done is not None:
        folder = home / str(done)
        card = read_card(folder) or Card(image_shape=(0, 0, 0), class_names=())
        return Trained(store.load(folder), folder, card, fresh=False)
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
        clean_accuracy=float((clean_predictions(classifier, images, name) == labels).mean()),
        versions=environment(),
    )
    on_stage("exporting")
    folder = store.export(classifier, store.next_version(home), card=card)
    close_workspace(home, plan | {"version": int(folder.name)}, classifier, card)
    return Trained(classifier, folder, card)


def stored_network(
    name: str, root: Path | None = None, *, scenario: Scenario | None = None
) -> Classifier:
    """Load the newest finished training of `name` as the Keras network it was, defended again.

    `train_and_store` keeps the network without the defences that were put round it. Here these are
    applied once more. Where that cannot be done (the plugin is gone, or it trains), or no Keras
    network was kept, it is the SavedModel version that is loaded: it answers alike, but shows no
    layers.

    Args:
        name: in the store.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        scenario: handed to the defences; by default opened again as the training's plan says.

    Returns:
        The classifier, as it came out of `train_and_store`.

    Raises:
        UsageError: nothing of that name was ever stored.
        ClassifierError: what was kept is damaged.

    Example:
        >>> train_and_store(create("models", "lenet_float"), digits, "d1", trainer,
        ...                 [create("defenses", "mc_dropout")])
        >>> stored_network("d1").passes
        50
    """
    home = _home(name, root)
    plan, file = read_plan(home / FINISHED / "plan.json"), home / FINISHED / "model.keras"
    if plan is None:
        return store.load(name, root=root)
    if file.exists():
        network = store.load(file)
        with contextlib.suppress(RobustError):
            return _defended_again(network, plan, scenario)
    return store.load(home / str(plan["version"]))


def _defended_again(
    network: Classifier, plan: dict[str, Any], scenario: Scenario | None
) -> Classifier:
    """Apply the defences of a plan that the network has not had, none of which may train."""
    missing = plan["defenses"][len(network.defenses) :]
    if not missing:
        return network
    again = [create("defenses", each["name"], **each["params"]) for each in missing]
    data = scenario or _planned_scenario(plan["scenario"])
    return defended(network, untrained(again), data, Trainer())


def _planned_scenario(planned: dict[str, Any]) -> Scenario:
    """Open the scenario that a plan records."""
    shift = planned.get("shift")
    options = {each["name"]: each["params"] for each in (planned, shift) if each}
    called = f"{planned['name']}+{shift['name']}" if shift else planned["name"]
    return open_scenario(called, options, seed=shift["seed"] if shift else 0)


def _home(name: str, root: Path | None) -> Path:
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(
            "name: expected a plain folder name of letters, digits, '_', '-' and '.'; "
            f"received: {name!r}"
        )
    return (root or store.store_root()) / name
