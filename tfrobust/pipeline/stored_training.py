"""A training from its plan to a version in the store; an interrupted one is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.image_blocks import ImageBlocks, WatchedBlocks, accuracy
from tfrobust.defense import Defense
from tfrobust.environment.versions import environment
from tfrobust.errors import UsageError
from tfrobust.files.atomic import made_before
from tfrobust.files.leftovers import scratch_folder
from tfrobust.model import ModelBuilder
from tfrobust.pipeline.build import train
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.distillation import distil
from tfrobust.pipeline.plans import TrainingPlan
from tfrobust.pipeline.shared_store import check_alike, check_shared, held_by_chief
from tfrobust.pipeline.workspace import (
    close_workspace,
    kept_work,
    occupied,
    open_workspace,
    version_note,
    workspace,
)
from tfrobust.scenario import Scenario
from tfrobust.store.cards import Card, Imitation, card_of, read_card
from tfrobust.store.layout import home_of, unfinished_folder
from tfrobust.store.models import export, load
from tfrobust.store.new_versions import claimed_version
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Report, Trainer
from tfrobust.training.workers import Workers
from tfrobust.types import Images, Labels


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


def run_worker(
    planned: Callable[[], TrainingPlan],
    name: str,
    options: TrainingOptions,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    report: Report | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Train as one of the workers that `TF_CONFIG` names; every worker's process calls it alike.

    Args:
        planned: makes the plan. It is called once all workers have met: before that TensorFlow may
            not be used.
        name: in the store, which all workers share.
        options: of the training; `strategy` becomes `multiworker`.
        resume: see `run_training`.
        force: see `run_training`.
        root: see `run_training`.
        report: of the trainer; the chief alone calls it.
        log: of the trainer; the chief alone calls it once all workers have met.

    Raises:
        UsageError: `TF_CONFIG` is missing or unsound; see `run_training` too.

    Example:
        >>> run_worker(lambda: TrainingPlan(create("models", "lenet"), open_scenario("digits")),
        ...            "d1", TrainingOptions(epochs=5), root=Path("/shared/models"))
    """
    trainer = Trainer(dataclasses.replace(options, strategy="multiworker"), report=report, log=log)
    return run_training(planned(), name, trainer, resume=resume, force=force, root=root)


def run_training(
    plan: TrainingPlan,
    name: str,
    trainer: Trainer,
    *,
    resume: bool = False,
    force: bool = False,
    root: Path | None = None,
    begun: Callable[[], object] = lambda: None,
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
        begun: called once the folder of its checkpoints is there; not of a training that had
            finished before.

    Returns:
        The classifier, its folder and its card.

    Raises:
        UsageError: a name that is no folder name; `resume` with another plan.
        StoreError: there is an interrupted training and neither `resume` nor `force` is given; or
            another process trains the same name.
    """
    home, workers = home_of(name, root), trainer.workers
    record = plan.recorded(trainer.options) | workers.recorded
    with workers.watched(), held_by_chief(workers, occupied(home)):
        check_alike(workers, record)
        version = None
        if not force:
            version = workers.on_chief(lambda: open_workspace(home, record, resume=resume))
        if version is not None:
            return _finished_before(home / str(version))
        resume = resume and not force
        trainer = dataclasses.replace(trainer, workspace=unfinished_folder(home), resume=resume)
        with held_by_chief(workers, workspace(home, record, fresh=not resume)):
            check_shared(workers, unfinished_folder(home))
            begun()
            classifier, imitates = _trained(plan, trainer)
            trainer.log("measuring clean accuracy")
            clean = _clean_accuracy(plan.scenario, classifier, name, trainer.report)
            card = _card(plan, record, classifier, clean, imitates)
            trainer.log("exporting")
            folder = _exported(classifier, home, card, workers)
        finished = record | {"version": int(folder.name)}
        workers.on_chief(lambda: close_workspace(home, finished, classifier, card))
    return Trained(classifier, folder, card)


def _finished_before(folder: Path) -> Trained:
    classifier = load(folder)
    return Trained(classifier, folder, read_card(folder) or card_of(classifier), fresh=False)


def _trained(plan: TrainingPlan, trainer: Trainer) -> tuple[Classifier, Imitation | None]:
    """Return the classifier of a plan; of a surrogate, what is known of it too."""
    if plan.distilled is None:
        return train(plan.model, plan.scenario, trainer, plan.defenses), None
    if isinstance(plan.model, Deployed) or plan.defenses or trainer.workers.count > 1:
        raise UsageError(
            "distil: expected an architecture, no defences and one worker: a surrogate learns "
            "answers from the beginning; defend it afterwards"
        )
    kept = kept_work(trainer.workspace) if trainer.workspace else None
    return distil(plan.model, plan.scenario, trainer, plan.distilled, kept=kept)


def _clean_accuracy(
    scenario: Scenario, classifier: Classifier, name: str, report: Report | None
) -> float:
    tested: Iterable[tuple[Images, Labels]] = ImageBlocks(scenario, "test")
    total = scenario.count("test")
    if report and total:
        tested = WatchedBlocks(tested, lambda done: report("measured images", done, total))
    return accuracy(lambda images: clean_predictions(classifier, images, name), tested)


def _card(
    plan: TrainingPlan,
    record: dict[str, Any],
    classifier: Classifier,
    clean: float,
    imitates: Imitation | None,
) -> Card:
    """Return the card of a trained classifier, with its accuracy on the test split."""
    return card_of(
        classifier,
        scenario=plan.scenario_name or record["scenario"]["name"],
        preparation=plan.scenario.preparation,
        model=record["model"],
        training=record["training"],
        seed=record["training"]["seed"],
        clean_accuracy=clean,
        versions=environment(),
        imitates=imitates,
    )


def _exported(classifier: Classifier, home: Path, card: Card, workers: Workers) -> Path:
    """Return the version of a training; a training that was killed may have stored it already."""
    note = version_note(home)

    def stored_before() -> str | None:
        stored = made_before(note, home)
        return stored.name if stored else None

    def stored_now() -> str:
        with claimed_version(home) as folder:
            return export(classifier, folder, card=card, note=note).name

    if version := workers.on_chief(stored_before):
        return home / str(version)
    if not workers.chief:  # some variables are summed over the workers when they are written
        with scratch_folder() as folder:
            export(classifier, folder / "1", card=card)
    return home / str(workers.on_chief(stored_now))
