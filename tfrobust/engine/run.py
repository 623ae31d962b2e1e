"""Runs an attack over many images: batches, seeds, counting, one trace."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import check_batches
from tfrobust.data.reading import check_images
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.jobs import Crafted, Job, RunSettings, run_job
from tfrobust.engine.learning import LearningAttack, learned
from tfrobust.engine.object_boxes import checked_boxes
from tfrobust.engine.targets import choose_targets, one_class
from tfrobust.engine.victim import check_knowledge
from tfrobust.errors import PluginError, UsageError, one_line
from tfrobust.norms.levels import rounded
from tfrobust.registry import name_of
from tfrobust.types import Boxes, Images, Labels, TargetRule


class RunOptions(TypedDict, total=False):
    """The options of `RunSettings`, as keyword arguments."""

    targets: Labels | TargetRule
    known_classes: int | None
    starts: Images | None
    boxes: Boxes | Sequence[Boxes] | None
    seed: int
    batch_size: int
    on_progress: Callable[[int], None] | None
    record: bool


def run_attack(
    attack: Attack,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    **options: Unpack[RunOptions],
) -> Crafted:
    """Attack every image; results do not depend on the batch size.

    They do for a classifier that is `batch_dependent`: its batches are kept whole, so that each
    image is attacked among those among which it is judged with the same `batch_size`.

    Args:
        attack: the attack.
        classifier: the classifier to fool; must be differentiable for a white-box attack.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`: the true classes.
        **options: `targets`, `known_classes`, `starts`, `boxes`, `seed`, `batch_size`,
            `on_progress`, `record`: see `RunSettings`.

    Returns:
        The images the attack returned and what they cost.

    Raises:
        UsageError: missing or true targets, a batch size below 1, options that do not fit the
            classifier, a region without boxes, or a white-box attack without any gradients; an
            ensemble, or one image alone in a batch, where answers depend on the whole batch.
        DataError: images, labels or boxes break the contract.
        PluginError: the attack raises, or returns images of the wrong shape.

    Example:
        >>> crafted = run_attack(create("attacks", "fgsm", eps=0.1), classifier, images, labels)
        >>> crafted.images.shape == images.shape
        True
    """
    settings = RunSettings(**options)
    check_images(images, labels, classifier.num_classes)
    if classifier.pixel_levels is not None:  # balls are round what the classifier sees
        images = rounded(images, classifier.pixel_levels)
    if isinstance(attack, LearningAttack):
        attack = learned(attack, classifier, images, labels, seed=settings.seed)
    _check_attack(attack, classifier)
    check_batches(classifier, len(images), settings.batch_size)
    boxes = checked_boxes(attack, settings.boxes, len(images))
    numbers = np.arange(len(images), dtype=np.int32)
    starts = _checked_starts(settings.starts, images)
    job = Job(classifier, images, labels, starts, boxes, settings, numbers)
    targeted = attack.threat.targeted
    if targeted:
        job = dataclasses.replace(job, goal=_classes_to_reach(attack, job))
    crafted = run_job(attack, job)
    return dataclasses.replace(crafted, targets=job.goal) if targeted else crafted


def _classes_to_reach(attack: Attack, job: Job) -> Labels:
    """Return the targets of a job whose goal is still to leave the labels; see `RunSettings`."""
    labels, classifier, settings = job.goal, job.classifier, job.settings
    targets = settings.targets
    if attack.target_class is not None:
        targets = one_class(attack.target_class, labels, classifier)
    return choose_targets(
        targets,
        classifier,
        job.images,
        labels,
        known=settings.known_classes,
        seed=settings.seed,
        batch_size=settings.batch_size,
    )


def _checked_starts(starts: Images | None, images: Images) -> Images | None:
    if starts is None or (starts.shape == images.shape and starts.dtype == images.dtype):
        return starts
    raise UsageError(
        f"starts: expected {images.dtype} {images.shape}, a point an image; "
        f"received: {starts.dtype} {starts.shape}"
    )


def _check_attack(attack: Attack, classifier: Classifier) -> None:
    try:
        hash(attack)
    except TypeError as error:
        raise PluginError(
            f"attack {name_of(attack)} broke its contract: its options cannot be hashed "
            f"({one_line(error)}); declare tuples instead of lists and dicts"
        ) from error
    attack.check(classifier)
    check_knowledge(attack, classifier)
    if isinstance(attack, Ensemble) and classifier.batch_dependent:
        raise UsageError(
            f"{name_of(attack)}: expected a classifier that judges each image by itself, because "
            "each attack of an ensemble leaves others in the batch; run its attacks one by one: "
            f"{', '.join(map(name_of, attack.attacks()))}"
        )
