"""The attack inside a training: any plugin that can be traced into a step."""

from __future__ import annotations

import abc
from collections.abc import Collection, Iterable
from typing import Any, ClassVar, Protocol

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier, Trainable
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.engine.gradients import without_gradients
from tfrobust.engine.learning import LearningAttack, read_learned
from tfrobust.engine.victim import has_gradients
from tfrobust.errors import UsageError
from tfrobust.options import option, option_names, plugin, record
from tfrobust.random import fold, numbered_seeds, uniform
from tfrobust.registry import create, find, name_of
from tfrobust.scenario import Scenario
from tfrobust.training.task import Perturb, TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Logits, PerImage, Seeds
from tfrobust_adversarial_training.within_budget import WithinBudget

_ORDER = 7919  # folded into seeds for the order of a batch, far from any count of restarts


class AttacksInside(Protocol):
    """A defence whose training runs an attack plugin, which two of its options name."""

    @property
    def attack(self) -> str:
        """The plugin's name."""

    @property
    def options(self) -> dict[str, Any] | None:
        """Options of the plugin."""


@plugin
class TrainsOnAttacked(Defense):
    """The options of defences that attack the batch of every training step.

    Attributes:
        takes_learned: whether the inner attack may be what a learning attack's file holds.
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS
    takes_learned: ClassVar[bool] = False

    attack: str = option("inner attack: the name of an attack plugin", default="pgd")
    eps: float = option(
        "budget of the inner attack, in the unit of its norm; minimum-norm attacks are "
        "projected onto it",
        default=0.1,
        ge=0,
    )
    steps: int = option("steps of the inner attack, if it has this option", default=10, ge=1)
    options: dict[str, Any] | None = option(
        'further options of the inner attack: {"norm": "l2"}', default=None
    )
    ramp: float = option(
        "share of the training in which the attack's changes grow from nothing to all of them, for "
        "budgets at which a network otherwise learns one class alone: 0.6; 0: all from the start",
        default=0.0,
        ge=0,
        le=1,
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts: its gradients are right; see `Defense`."""
        return long_ascent(
            "its gradients are right: many steps from several starts",
            "Croce & Hein 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse an inner attack that no step can run or learn from, or that does not fit.

        See `Defense`.

        Raises:
            UsageError: says why.
        """
        attack = self.inner_attack()
        attack.check(classifier)
        images = tf.zeros((1, *classifier.image_shape))
        if attack.needs_gradients and not has_gradients(classifier, images):
            raise without_gradients(name_of(attack))

    def inner_attack(self) -> Attack:
        """Return the attack that each step runs.

        Raises:
            UsageError: see `inner_attack`.
        """
        return inner_attack(self, "eps", "steps", takes_learned=self.takes_learned)


class TrainsOnBoth(TrainsOnAttacked):
    """A training whose loss sees each image clean and attacked."""

    @abc.abstractmethod
    def objective(
        self, classifier: Trainable, images: Images, attacked: Images, labels: Labels
    ) -> tuple[PerImage, Logits]:
        """Return the losses to lower, `(batch,)`, and the logits of the attacked images.

        Args:
            classifier: in training mode.
            images: clean, `(batch, height, width, channels)`.
            attacked: of the same shape.
            labels: `(batch,)`.

        Returns:
            float32 `(batch,)` and `(batch, classes)`.
        """

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train `classifier` on clean and attacked images; see `Defense`.

        Raises:
            UsageError: the inner attack is none that a step can run.
        """
        perturb = attacked_by(self.inner_attack())
        task = TrainingTask(perturb=perturb, objective=self.objective, ramp=self.ramp)
        trainer.fit(classifier, scenario, task)
        return Defended(classifier)


def inner_attack(defense: AttacksInside, *offered: str, takes_learned: bool = False) -> Attack:
    """Return the attack that each step of a training runs.

    Args:
        defense: whose options `attack` and `options` name it and further ones of its options.
        offered: options of the defence, such as `eps`, that are given to an attack that has them.
        takes_learned: of an attack that learns, return what its file holds.

    Returns:
        The attack; a minimum-norm one keeps to its budget, if it has one.

    Raises:
        UsageError: there is no such attack; it has not the option that the defence was given; it
            learns from many images; it makes images that nothing is to be learned from; it is
            targeted, cannot be traced or wants boxes.
        StoreError: what was learned cannot be read.
    """
    name, called = name_of(defense), defense.attack
    known = set(option_names(find("attacks", called).load()))
    given = record(defense)
    words = {option: given[option] for option in offered}
    steps = {"nb_iter": words["steps"]} if "steps" in words else {}  # CleverHans's word for them
    wanted = {**words, **steps, "early_stop": False}
    chosen = {key: value for key, value in wanted.items() if key in known}
    _check_offered(defense, known | ({"steps"} if "nb_iter" in known else set()), offered)
    attack: Attack = create("attacks", called, **(chosen | dict(defense.options or {})))
    if attack.corrective or attack.ignores_input:
        why = "helps the classifier" if attack.corrective else "keeps nothing of what it is given"
        raise UsageError(
            f"{name}: attack: expected one that makes images harder to get right; received: "
            f"{called!r}, which {why}; take another, such as pgd"
        )
    if isinstance(attack, LearningAttack):
        attack = _learned(name, called, attack, takes_learned=takes_learned)
    if attack.threat.targeted or attack.eager or attack.needs_boxes:
        raise UsageError(
            f"{name}: attack: expected an untargeted attack on whole images that runs in "
            f"tf.function; received: {called!r}"
        )
    return WithinBudget(attack) if attack.minimum_norm and attack.budget is not None else attack


def _check_offered(defense: AttacksInside, known: Collection[str], offered: Iterable[str]) -> None:
    """Refuse an option that was given to the defence and that its attack does not have."""
    given, usual = record(defense), record(type(defense)())
    for name in offered:
        if name not in known and given[name] != usual[name]:
            raise UsageError(
                f"{name_of(defense)}: {name}: {defense.attack} has no such option; leave it out, "
                f"or give what it has by -p {name_of(defense)}.options"
            )


def _learned(defense: str, called: str, attack: LearningAttack, *, takes_learned: bool) -> Attack:
    """Return what the attack's file holds; refuse it where there is none, or none is taken."""
    if takes_learned and attack.file is not None and attack.file.exists():
        return read_learned(attack)
    lacking = f" and whose file {attack.file} is not there" if takes_learned and attack.file else ""
    before = "name what it learned before by its option `file`, or " if takes_learned else ""
    raise UsageError(
        f"{defense}: attack: expected one that needs no more than a batch; received: {called!r}, "
        f"which learns from many images first{lacking}; {before}take the defence retraining, which "
        "collects images of any attack"
    )


def attacked_by(attack: Attack) -> Perturb:
    """Return what perturbs a batch by an attack, seeded by its images' numbers."""

    def perturb(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        return attack(classifier, images, labels, seed=seeds)

    return perturb


def partly(attack: Perturb, share: float) -> Perturb:
    """Return what attacks ⌈share · batch⌉ images of each batch and leaves the others clean.

    They are the first ones: the batches of a training are shuffled. Those of its validation are
    not; see `in_drawn_order`.
    """

    def perturb(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        count = tf.cast(tf.math.ceil(share * tf.cast(tf.size(labels), tf.float32)), tf.int32)
        attacked = attack(classifier, images[:count], labels[:count], seeds[:count])
        return tf.concat([attacked, images[count:]], axis=0)

    return perturb


def in_drawn_order(perturb: Perturb, seed: int) -> Perturb:
    """Return what gives a batch to `perturb` in an order drawn by a seed and its images' numbers.

    Which image of a batch is treated how then has nothing to do with how the data is sorted, and is
    the same in every epoch.

    Args:
        perturb: that treats an image by its place in the batch.
        seed: of the training.
    """

    def drawn(classifier: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Any:
        numbers = seeds[:, 1]  # of the images; the other column is the epoch's seed
        order = tf.argsort(uniform(fold(numbered_seeds(seed, numbers), _ORDER), ()), stable=True)
        given = (tf.gather(rows, order) for rows in (images, labels, seeds))
        return tf.gather(perturb(classifier, *given), tf.argsort(order))

    return drawn
