"""What the contract of attacks crafts images on, and how they are judged."""

from __future__ import annotations

import functools
from typing import Any

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import Crafted, run_attack
from tfrobust.evaluation.audit import Audit, audit
from tfrobust.testing.classifiers import (
    ConstantClassifier,
    LinearClassifier,
    SwitchedClassifier,
    small_classifier,
    some_boxes,
)
from tfrobust.types import Images, Labels


# One classifier that is switched between what the checks need: an attack is traced once a
# classifier, and that takes longest.
@functools.cache
def _switched() -> SwitchedClassifier:
    return SwitchedClassifier(
        network=small_classifier(), linear=LinearClassifier(), constant=ConstantClassifier()
    )


def network() -> Classifier:
    """Return a small convolutional network."""
    return _switched().to("network")


def linear() -> Classifier:
    """Return the classifier whose closed forms are known."""
    return _switched().to("linear")


def constant() -> Classifier:
    """Return the classifier that nothing breaks."""
    return _switched().to("constant")


def audited(
    attack: Attack, classifier: Classifier, images: Images, labels: Labels, crafted: Crafted
) -> Audit:
    """Return what the audit says of crafted images."""
    clean = clean_predictions(classifier, images)
    return audit(
        classifier,
        attack,
        images,
        labels,
        crafted.images,
        clean=clean,
        targets=crafted.targets,
        boxes=some_boxes(len(images)),
    )


def crafted_by(
    attack: Attack, classifier: Classifier, images: Images, labels: Labels, **how: Any
) -> Crafted:
    """Run an attack, with boxes for one that needs them; others take no notice."""
    boxes = some_boxes(len(images))
    return run_attack(attack, classifier, images, labels, boxes=boxes, **how)
