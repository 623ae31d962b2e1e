"""What detectors learn from: training images, before and after an attack.

Where `ENOUGH` attacked images fooled the classifier, a detector learns from these alone; from all
of them where answers depend on the whole batch, which would be another without the rest. The images
lie on disk and are attacked and audited half a GB at a time: see `tfrobust.data.spooled`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions
from tfrobust.data.spooled import blocks_of, spool, spooled
from tfrobust.engine.learning import LearningAttack, learned
from tfrobust.engine.object_boxes import boxes_for
from tfrobust.engine.run import run_attack
from tfrobust.engine.targets import choose_targets
from tfrobust.evaluation.audit import CleanImages, audit_images
from tfrobust.evaluation.judging import left_to_do
from tfrobust.evaluation.settings import Progress, reporter
from tfrobust.registry import name_of
from tfrobust.results.detectors import FittedOn
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Flags, Images, Labels

ENOUGH = 30  # images that fooled: ten for each number that the largest regression here learns


@dataclasses.dataclass(frozen=True)
class AttackedTraining:
    """Images of the training split, before and after an attack.

    Attributes:
        clean: float32 `(n, height, width, channels)`, memory-mapped.
        labels: int64 `(n,)`.
        boxes: of an attack on a region.
        adversarial: the same images, attacked.
        targets: int64 `(n,)`: the classes to reach, or `None` for an untargeted attack.
    """

    clean: Images
    labels: Labels
    boxes: Boxes | None
    adversarial: Images
    targets: Labels | None


@dataclasses.dataclass(frozen=True)
class FittingImages:
    """What detectors learn from.

    Attributes:
        clean: float32 `(n, height, width, channels)`, memory-mapped.
        adversarial: the same ones attacked.
        fooled: bool `(n,)`: the attacked ones that fooled the classifier.
        whole: keep the attacked images in their batches, and learn from all of them.
    """

    clean: Images
    adversarial: Images
    fooled: Flags
    whole: bool = False

    @property
    def only_fooling(self) -> bool:
        """Whether `ENOUGH` images fooled the classifier to learn from these alone."""
        return not self.whole and int(self.fooled.sum()) >= ENOUGH

    @cached_property
    def learned(self) -> Images:
        """The attacked images that are learned from, memory-mapped."""
        if not self.only_fooling:
            return self.adversarial
        shape = self.adversarial.shape[1:]
        blocks = blocks_of(len(self.adversarial), shape)
        return spool((self.adversarial[rows][self.fooled[rows]] for rows in blocks), shape)

    @property
    def record(self) -> FittedOn:
        """How many there are, for `results.json`."""
        fooling = int(self.fooled.sum())
        return FittedOn(
            clean=len(self.clean),
            adversarial=fooling if self.only_fooling else len(self.adversarial),
            fooling=fooling,
            only_fooling=self.only_fooling,
        )


def attacked_training_images(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> FittingImages:
    """Attack the first `count` training images of a classifier, for its detectors to learn from."""
    training = attack_training(attack, classifier, scenario, count, seed=seed, progress=progress)
    return audited_training(training, attack, classifier)


def attack_training(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
) -> AttackedTraining:
    """Attack the first `count` training images; `audited_training` tells which of them fool.

    A targeted attack is given random targets. An attack that learns learns from these images.
    """
    clean, labels = spooled(scenario, "train", count)
    boxes = boxes_for([attack], scenario, "train", count)
    if isinstance(attack, LearningAttack):  # from all images, not from those of the first block
        attack = learned(attack, classifier, clean, labels, seed=seed)
    targets = None
    if attack.threat.targeted and attack.target_class is None:
        given = classifier, clean, labels
        targets = choose_targets("random", *given, seed=seed, batch_size=batch_size)
    reached: list[Labels] = []

    def crafted() -> Iterator[Images]:
        for rows in blocks_of(len(clean), clean.shape[1:]):
            block = run_attack(
                attack,
                classifier,
                clean[rows],
                labels[rows],
                targets="random" if targets is None else targets[rows],
                boxes=None if boxes is None else boxes[rows],
                seed=seed,
                batch_size=batch_size,
                on_progress=reporter(progress, name_of(attack), len(clean), rows.start),
            )
            if block.targets is not None:
                reached.append(block.targets)
            yield block.images

    adversarial = spool(crafted(), clean.shape[1:])
    return AttackedTraining(
        clean, labels, boxes, adversarial, np.concatenate(reached) if reached else None
    )


def audited_training(
    training: AttackedTraining,
    attack: Attack,
    classifier: Classifier,
    *,
    batch_size: int = BATCH_SIZE,
) -> FittingImages:
    """Return the images with which of them fooled a classifier, within the attack's budget."""
    blocks = blocks_of(len(training.clean), training.clean.shape[1:])
    fooled = [_fooled(training, rows, attack, classifier, batch_size=batch_size) for rows in blocks]
    return FittingImages(
        training.clean,
        training.adversarial,
        np.concatenate(fooled),
        whole=classifier.batch_dependent,
    )


def _fooled(
    training: AttackedTraining,
    rows: slice,
    attack: Attack,
    classifier: Classifier,
    *,
    batch_size: int,
) -> Flags:
    """Return which of some attacked images fooled a classifier."""
    images, labels = training.clean[rows], training.labels[rows]
    predicted = clean_predictions(classifier, images, batch_size=batch_size)
    boxes = None if training.boxes is None else training.boxes[rows]
    audited = audit_images(
        classifier,
        attack,
        CleanImages(images, labels, predicted, boxes),
        training.adversarial[rows],
        targets=None if training.targets is None else training.targets[rows],
        batch_size=batch_size,
    )
    return np.asarray(audited.success & left_to_do(attack, predicted, labels))
