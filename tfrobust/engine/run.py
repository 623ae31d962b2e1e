"""Runs an attack over many images: batches, seeds, counting, one trace."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, check_batches, predict
from tfrobust.classifiers.traces import Traces
from tfrobust.data.reading import check_images
from tfrobust.engine.batch import craft_batch
from tfrobust.engine.compiled import compiled
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.learning import Learned, LearningAttack, learned
from tfrobust.engine.object_boxes import checked_boxes, free_of
from tfrobust.engine.targets import choose_targets, one_class
from tfrobust.engine.victim import (
    NONE_SEEN,
    FirstGradients,
    check_knowledge,
    persistent,
    victim_of,
)
from tfrobust.errors import PluginError, UsageError, one_line
from tfrobust.meter import Goal
from tfrobust.norms.distances import distances, within_budget
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.types import Boxes, Flags, Images, Labels, TargetRule

# What an ensemble asks which images are broken; a new one for each run would be traced each time.
_VICTIMS: Traces[tuple[Classifier, int]] = Traces(most=64)


@dataclasses.dataclass(frozen=True)
class Crafted:
    """What an attack crafted, and what it cost.

    Attributes:
        images: float32 `(n, height, width, channels)`, as the attack returned them: not audited.
        targets: int64 `(n,)`: the classes to reach, or `None` for an untargeted attack.
        gradients: gradients computed, an image each, over all images.
        queries: forward passes, an image each, over all images.
        seconds: wall-clock time, tracing included.
        first: what the first gradients were like; of an attack of several parts, those of the
            first part that asked for any.
        cut_off: images whose attack ended early, because a budget of queries was spent.
        unpaid: whether a larger budget of the whole run would change anything.
    """

    images: Images
    targets: Labels | None
    gradients: int
    queries: int
    seconds: float
    first: FirstGradients = NONE_SEEN
    cut_off: int = 0
    unpaid: bool = False


class RunOptions(TypedDict, total=False):
    """The options of `RunSettings`, as keyword arguments."""

    targets: Labels | TargetRule
    known_classes: int | None
    boxes: Boxes | Sequence[Boxes] | None
    seed: int
    batch_size: int
    on_progress: Callable[[int], None] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How an attack is run.

    Attributes:
        targets: for a targeted attack the classes to reach, `(n,)`, or the rule that picks them:
            the classifier's `least_likely` class, the class `next` to the label, a `random` one;
            never one that is masked by a large negative logit, which no attack reaches. An attack
            on one class has its own target: see `one_class`.
        known_classes: a rule picks among this many classes, the first ones; none: among all.
        boxes: for an attack on a region, float32 `(n, k, 4)` filled up with zeros, or `(k, 4)` an
            image; see `tfrobust.data.boxes`. An image whose region has no pixel stays unchanged.
        seed: decides everything random.
        batch_size: images at a time; memory grows with it alone.
        on_progress: called with the number of images done after each batch.

    Raises:
        UsageError: a batch size below 1.
    """

    targets: Labels | TargetRule = "least_likely"
    known_classes: int | None = None
    boxes: Boxes | Sequence[Boxes] | None = None
    seed: int = 0
    batch_size: int = BATCH_SIZE
    on_progress: Callable[[int], None] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size: expected 1 or more; received: {self.batch_size}")


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
        **options: `targets`, `known_classes`, `boxes`, `seed`, `batch_size`, `on_progress`: see
            `RunSettings`.

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
    if isinstance(attack, LearningAttack):
        attack = learned(attack, classifier, images, labels, seed=settings.seed)
    _check_attack(attack, classifier)
    check_batches(classifier, len(images), settings.batch_size)
    boxes = checked_boxes(attack, settings.boxes, len(images))
    numbers = np.arange(len(images), dtype=np.int32)
    job = _Job(classifier, images, labels, boxes, settings, numbers)
    targeted = attack.threat.targeted
    if targeted:
        job = dataclasses.replace(job, goal=_classes_to_reach(attack, job))
    crafted = _run(attack, job) if classifier.meter is None else _metered(attack, job)
    return dataclasses.replace(crafted, targets=job.goal) if targeted else crafted


@dataclasses.dataclass(frozen=True)
class _Job:
    """What an attack is run on, and how."""

    classifier: Classifier
    images: Images
    goal: Labels  # the classes to leave, or those to reach
    boxes: Boxes | None  # (n, most, 4), if the attack needs them
    settings: RunSettings
    numbers: np.ndarray  # of the images, among those that the attack began with
    done: int = 0  # images that are not part of it any more

    def rest(self, rows: np.ndarray) -> _Job:
        """Return the same job with only some of the images; those left out count as done."""
        boxes = None if self.boxes is None else self.boxes[rows]
        done = self.done + len(self.images) - len(rows)
        return dataclasses.replace(
            self,
            images=self.images[rows],
            goal=self.goal[rows],
            boxes=boxes,
            numbers=self.numbers[rows],
            done=done,
        )

    def report(self, count: int) -> None:
        """Tell that `count` of the images are done."""
        if self.settings.on_progress:
            self.settings.on_progress(self.done + count)

    def right(self, classifier: Classifier, images: Images, labels: Labels) -> Flags:
        """Return which images a classifier still gets right."""
        return predict(classifier, images, self.settings.batch_size).argmax(axis=1) == labels


def _classes_to_reach(attack: Attack, job: _Job) -> Labels:
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


def _run(attack: Attack, job: _Job) -> Crafted:
    if isinstance(attack, Ensemble):
        return _run_ensemble(attack, job)
    return _run_batches(attack, job)


def _metered(attack: Attack, job: _Job) -> Crafted:
    """Run an attack whose questions cost: what counts is what its images were answered."""
    meter: Any = job.classifier.meter
    goal = Goal(
        job.goal, attack.threat.targeted or attack.corrective, attack.threat.norm, attack.budget
    )
    before = meter.count.unpaid
    with meter.attempt(job.images, goal) as counting:
        crafted = _run(attack, job)
    return dataclasses.replace(
        crafted,
        images=counting.settled(crafted.images),
        queries=counting.asked,
        cut_off=counting.cut_off,
        unpaid=meter.count.unpaid > before,
    )


def _run_batches(attack: Attack, job: _Job) -> Crafted:
    """Run one attack on all images of a job, a batch at a time."""
    counted, call = compiled(persistent(attack, job.classifier), job.classifier)
    counted.reset()
    crafted = np.empty_like(job.images)
    began = time.perf_counter()
    size = job.settings.batch_size
    if not job.classifier.batch_dependent:  # the calls of one gradient share the memory
        size = max(1, size // counted.calls)
    for start in range(0, len(job.images), size):
        rows = slice(start, start + size)
        images = job.images[rows]
        seeds = content_seeds(job.settings.seed, images)
        free = free_of(attack, None if job.boxes is None else job.boxes[rows], images)
        inputs = [tf.constant(images), tf.constant(job.goal[rows], tf.int64), tf.constant(seeds)]
        inputs += [] if free is None else [free]
        inputs += [] if counted.meter is None else [tf.constant(job.numbers[rows])]
        counted.begin_batch()
        batch = craft_batch(attack, counted, call, inputs)
        crafted[rows] = batch if free is None else np.where(free, batch, images)
        job.report(min(start + size, len(job.images)))
    training = attack if isinstance(attack, Learned) else None  # what it cost counts as well
    return Crafted(
        images=crafted,
        targets=None,
        gradients=int(counted.gradients.numpy()) + (training.gradients if training else 0),
        queries=int(counted.queries.numpy()) + (training.queries if training else 0),
        seconds=time.perf_counter() - began,
        first=training.first if training else counted.first_gradients(),
    )


def _run_ensemble(ensemble: Ensemble, job: _Job) -> Crafted:
    """Run each attack of an ensemble on the images that are unbroken so far, over all batches."""
    began = time.perf_counter()
    victim, calls = _VICTIMS.of(
        job.classifier, ensemble, lambda: victim_of(ensemble, job.classifier)
    )
    crafted, gradients, queries = job.images.copy(), 0, calls * len(job.images)
    first = NONE_SEEN
    unbroken = np.flatnonzero(job.right(victim, job.images, job.goal))
    for attack in ensemble.attacks():
        if not len(unbroken):
            break
        rest = job.rest(unbroken)
        result = _run_batches(attack, rest)
        distance = distances(rest.images, result.images)[ensemble.threat.norm or "linf"]
        fooled = ~job.right(victim, result.images, rest.goal)
        broken = fooled & within_budget(distance, ensemble.budget)
        crafted[unbroken[broken]] = result.images[broken]
        gradients += result.gradients
        first = first if first.images else result.first
        queries += result.queries + calls * len(unbroken)
        unbroken = unbroken[~broken]
    job.report(len(job.images))
    return Crafted(crafted, None, gradients, queries, time.perf_counter() - began, first)


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
