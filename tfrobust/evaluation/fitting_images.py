"""What detectors learn from: training images, before and after an attack.

Where `ENOUGH` attacked images fooled the classifier, a detector learns from these alone.
"""

from __future__ import annotations

import dataclasses

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, clean_predictions
from tfrobust.data.reading import arrays
from tfrobust.engine.object_boxes import boxes_for
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.evaluation.audit import CleanImages, audit_images
from tfrobust.evaluation.judging import left_to_do
from tfrobust.results.records import FittedOn
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Flags, Images, Labels

ENOUGH = 30  # images that fooled: ten for each number that the largest regression here learns


@dataclasses.dataclass(frozen=True)
class AttackedTraining:
    """Images of the training split, before and after an attack.

    Attributes:
        clean: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        boxes: of an attack on a region.
        crafted: the same images, attacked.
    """

    clean: Images
    labels: Labels
    boxes: Boxes | None
    crafted: Crafted


@dataclasses.dataclass(frozen=True)
class FittingImages:
    """What detectors learn from.

    Attributes:
        clean: float32 `(n, height, width, channels)`.
        adversarial: the same ones attacked.
        fooled: bool `(n,)`: the attacked ones that fooled the classifier.
    """

    clean: Images
    adversarial: Images
    fooled: Flags

    @property
    def only_fooling(self) -> bool:
        """Whether `ENOUGH` images fooled the classifier to learn from these alone."""
        return int(self.fooled.sum()) >= ENOUGH

    @property
    def learned(self) -> Images:
        """The attacked images that are learned from."""
        return self.adversarial[self.fooled] if self.only_fooling else self.adversarial

    @property
    def record(self) -> FittedOn:
        """How many there are, for `results.json`."""
        return FittedOn(
            clean=len(self.clean),
            adversarial=len(self.learned),
            fooling=int(self.fooled.sum()),
            only_fooling=self.only_fooling,
        )


def attacked_training_images(
    attack: Attack, classifier: Classifier, scenario: Scenario, count: int, *, seed: int = 0
) -> FittingImages:
    """Attack the first `count` training images of a classifier, for its detectors to learn from."""
    training = attack_training(attack, classifier, scenario, count, seed=seed)
    return audited_training(training, attack, classifier)


def attack_training(
    attack: Attack,
    classifier: Classifier,
    scenario: Scenario,
    count: int,
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> AttackedTraining:
    """Attack the first `count` training images; `audited_training` tells which of them fool.

    A targeted attack is given random targets.
    """
    clean, labels = arrays(scenario, "train", count)
    boxes = boxes_for([attack], scenario, "train", count)
    crafted = run_attack(
        attack,
        classifier,
        clean,
        labels,
        targets="random",
        boxes=boxes,
        seed=seed,
        batch_size=batch_size,
    )
    return AttackedTraining(clean, labels, boxes, crafted)


def audited_training(
    training: AttackedTraining,
    attack: Attack,
    classifier: Classifier,
    *,
    batch_size: int = BATCH_SIZE,
) -> FittingImages:
    """Return the images with which of them fooled a classifier, within the attack's budget."""
    predicted = clean_predictions(classifier, training.clean, batch_size=batch_size)
    audited = audit_images(
        classifier,
        attack,
        CleanImages(training.clean, training.labels, predicted, training.boxes),
        training.crafted.images,
        targets=training.crafted.targets,
        batch_size=batch_size,
    )
    fooled = audited.success & left_to_do(attack, predicted, training.labels)
    return FittingImages(training.clean, training.crafted.images, fooled)
