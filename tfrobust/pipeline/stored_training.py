"""A training from its plan to a version in the store; an interrupted one is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.defense import Defense
from tfrobust.environment.versions import environment
from tfrobust.files.atomic import made_before
from tfrobust.model import ModelBuilder
from tfrobust.pipeline.build import train
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.plans import UNFINISHED, TrainingPlan
from tfrobust.pipeline.workspace import (
    close_workspace,
    occupied,
    open_workspace,
    version_note,
    workspace,
)
from tfrobust.scenario import Scenario
from tfrobust.store.cards import Card, card_of, read_card
from tfrobust.store.layout import home_of
from tfrobust.store.models import export, load
from tfrobust.store.new_versions import claimed_version
from tfrobust.training.trainer import Trainer


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came out of a training.

    Attributes:
        classifier: with the weights of the best epoch.
        folder: its version folder in the store.
        card: what is recorded there.
        fresh: `False` where the training was finished before and nothing was done.
    """

    classifier: Classifier
    folder: Path
    card: Card
    fresh: bool = True


def train_and_store(
    model: ModelBuilder | Deployed,
    scenario: Scenario,
    name: str,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
) -> Trained:
    """Train a classifier and export it as the next version of `name`; see `run_training`.

    Args:
        model: the architecture, or a finished classifier.
        scenario: the data.
        name: in the store.
        trainer: the training loop and its options.
        defenses: in the order in which they are applied.
        resume: go on with an interrupted training of the same plan.
        force: throw an interrupted training away.
        root: the store.

    Example:
        >>> train_and_store(create("models", "lenet"), create("scenarios", "digits"), "d1",
        ...                 Trainer(TrainingOptions(epochs=5))).card.clean_accuracy
        0.97
    """
    plan = TrainingPlan(model, scenario, defenses)
    return run_training(plan, name, trainer, resume=resume, force=force, root=root)


def run_training(
    plan: TrainingPlan,
    name: str,
    trainer: Trainer,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
) -> Trained:
    """Train what a plan describes and export it as the next version of `name`.

    Args:
        plan: model, data and defences.
        name: in the store.
        trainer: the training loop and its options; its `log` is called with each stage. Checkpoints
            lie in the store until the training is finished.
        resume: go on with an interrupted training of the same plan.
        force: throw an interrupted training away.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.

    Returns:
        The classifier, its folder and its card.

    Raises:
        UsageError: a name that is no folder name; `resume` with another plan.
        StoreError: there is an interrupted training and neither `resume` nor `force` is given; or
            another process trains the same name.
    """
    home = home_of(name, root)
    record = plan.recorded(trainer.options)
    with occupied(home):
        version = None if force else open_workspace(home, record, resume=resume)
        if version is not None:
            return _finished_before(home / str(version))
        resume = resume and not force
        trainer = dataclasses.replace(trainer, workspace=home / UNFINISHED, resume=resume)
        with workspace(home, record, fresh=not resume):
            classifier = train(plan.model, plan.scenario, trainer, plan.defenses)
            trainer.log("measuring clean accuracy")
            card = _card(plan, record, classifier, name)
            trainer.log("exporting")
            folder = _exported(classifier, home, card)
        close_workspace(home, record | {"version": int(folder.name)}, classifier, card)
    return Trained(classifier, folder, card)


def _finished_before(folder: Path) -> Trained:
    classifier = load(folder)
    return Trained(classifier, folder, read_card(folder) or card_of(classifier), fresh=False)


def _card(plan: TrainingPlan, record: dict[str, Any], classifier: Classifier, name: str) -> Card:
    """Return the card of a trained classifier, with its accuracy on the test split."""
    images, labels = arrays(plan.scenario, "test")
    accuracy = (clean_predictions(classifier, images, name) == labels).mean()
    return card_of(
        classifier,
        scenario=plan.scenario_name or record["scenario"]["name"],
        model=record["model"],
        training=record["training"],
        seed=record["training"]["seed"],
        clean_accuracy=float(accuracy),
        versions=environment(),
    )


def _exported(classifier: Classifier, home: Path, card: Card) -> Path:
    """Return the version of a training; a training that was killed may have stored it already."""
    note = version_note(home)
    if stored := made_before(note, home):
        return stored
    with claimed_version(home) as folder:
        return export(classifier, folder, card=card, note=note)
