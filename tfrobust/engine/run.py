"""Runs an attack over many images: batches, seeds, counting, one trace."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE, predict
from tfrobust.engine.compiled import compiled
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.learning import Learned, LearningAttack, learned
from tfrobust.engine.losses import without_gradients
from tfrobust.engine.object_boxes import checked_boxes, free_of
from tfrobust.engine.targets import choose_targets, one_class
from tfrobust.engine.victim import (
    NONE_SEEN,
    Counted,
    FirstGradients,
    has_gradients,
    persistent,
    victim_of,
)
from tfrobust.errors import PluginError, UsageError, one_line
from tfrobust.norms.distances import distances, within_budget
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.scenario import check_images
from tfrobust.types import Boxes, Flags, Images, Labels, TargetRule


@dataclasses.dataclass(frozen=True)
class Crafted:
    """What an attack made, and what it cost.

    Attributes:
        images: float32 `(n, height, width, channels)`, as the attack returned them: not audited.
        targets: int64 `(n,)`: the classes to reach, or `None` for an untargeted attack.
        gradients: gradients computed, an image each, over all images.
        queries: forward passes, an image each, over all images.
        seconds: wall-clock time, tracing included.
        first: what the first gradients were like; of an attack of several parts, those of the
            first part that asked for any.
    """

    images: Images
    targets: Labels | None
    gradients: int
    queries: int
    seconds: float
    first: FirstGradients = NONE_SEEN


def run_attack(
    attack: Attack,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    targets: Labels | TargetRule = "least_likely",
    known_classes: int | None = None,
    boxes: Boxes | Sequence[Boxes] | None = None,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    on_progress: Callable[[int], None] | None = None,
) -> Crafted:
    """Attack every image; results do not depend on the batch size.

    Args:
        attack: the attack.
        classifier: whom to fool; must be differentiable for a white-box attack.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`: the true classes.
        targets: for a targeted attack the classes to reach, `(n,)`, or the rule that picks them:
            the classifier's `least_likely` class, the class `next` to the label, a `random` one;
            never one that is masked by a large negative logit, which nothing reaches.
            An attack that was made for one class has that: see `one_class`.
        known_classes: a rule picks among the first so many, for a classifier that has further
            classes of images like nothing known; none: among all.
        boxes: for an attack on a region, float32 `(n, k, 4)` filled up with zeros, or `(k, 4)` an
            image; see `tfrobust.data.boxes`. A region without a single pixel is left as it is.
        seed: decides everything random.
        batch_size: images at a time; memory grows with it and with nothing else.
        on_progress: called with the number of images done after each batch.

    Returns:
        The images the attack returned and what they cost.

    Raises:
        UsageError: targets that are the true classes or missing, a batch size below 1, options
            that do not fit the classifier, a region without boxes, or a white-box attack on a
            classifier without gradients that declares no surrogate, or that rounds inside.
        DataError: images, labels or boxes break the contract.
        PluginError: the attack raises, or returns images of the wrong shape.

    Example:
        >>> crafted = run_attack(create("attacks", "fgsm", eps=0.1), classifier, images, labels)
        >>> crafted.images.shape == images.shape
        True
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected 1 or more; received: {batch_size}")
    check_images(images, labels, classifier.num_classes)
    if isinstance(attack, LearningAttack):
        attack = learned(attack, classifier, images, labels, seed=seed)
    _check_attack(attack, classifier)
    aims = None
    if attack.threat.targeted:
        wanted = (
            targets
            if attack.target_class is None
            else one_class(attack.target_class, labels, classifier)
        )
        aims = choose_targets(
            wanted,
            classifier,
            images,
            labels,
            known=known_classes,
            seed=seed,
            batch_size=batch_size,
        )
    goal = labels if aims is None else aims
    boxes = checked_boxes(attack, boxes, len(images))
    job = _Job(classifier, images, goal, boxes, seed, batch_size, on_progress)
    if isinstance(attack, Ensemble):
        return _run_parts(attack, job)
    return dataclasses.replace(_run_batches(attack, job), targets=aims)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What an attack is run on, and how."""

    classifier: Classifier
    images: Images
    goal: Labels
    boxes: Boxes | None  # (n, most, 4), if the attack needs them
    seed: int
    batch_size: int
    on_progress: Callable[[int], None] | None

    def rest(self, rows: np.ndarray) -> _Job:
        """Return the same with only some of the images; those left out count as done."""
        report = self.on_progress
        gone = len(self.images) - len(rows)
        later = (lambda count: report(gone + count)) if report else None
        boxes = None if self.boxes is None else self.boxes[rows]
        return dataclasses.replace(
            self, images=self.images[rows], goal=self.goal[rows], boxes=boxes, on_progress=later
        )

    def right(self, classifier: Classifier, images: Images, labels: Labels) -> Flags:
        """Return which images a classifier still gets right."""
        return predict(classifier, images, self.batch_size).argmax(axis=1) == labels


def _run_batches(attack: Attack, job: _Job) -> Crafted:
    """Run one attack on all images of a job, a batch at a time."""
    counted, call = compiled(persistent(attack, job.classifier), job.classifier)
    counted.reset()
    crafted = np.empty_like(job.images)
    began = time.perf_counter()
    size = max(1, job.batch_size // counted.calls)  # the calls of one gradient share the memory
    for start in range(0, len(job.images), size):
        rows = slice(start, start + size)
        images = job.images[rows]
        seeds = content_seeds(job.seed, images)
        free = free_of(attack, None if job.boxes is None else job.boxes[rows], images)
        given = [tf.constant(images), tf.constant(job.goal[rows], tf.int64), tf.constant(seeds)]
        counted.begin_batch()
        made = _one_batch(attack, counted, call, given if free is None else [*given, free])
        crafted[rows] = made if free is None else np.where(free, made, images)
        if job.on_progress:
            job.on_progress(min(start + size, len(job.images)))
    before = attack if isinstance(attack, Learned) else None
    return Crafted(
        images=crafted,
        targets=None,
        gradients=int(counted.gradients.numpy()) + (before.gradients if before else 0),
        queries=int(counted.queries.numpy()) + (before.queries if before else 0),
        seconds=time.perf_counter() - began,
        first=before.first if before else counted.first_gradients(),
    )


def _run_parts(attack: Ensemble, job: _Job) -> Crafted:
    """Run each part of an ensemble on what is still standing, over all batches."""
    began = time.perf_counter()
    seen, calls = victim_of(attack, job.classifier)
    crafted, gradients, queries = job.images.copy(), 0, calls * len(job.images)
    first = NONE_SEEN
    standing = np.flatnonzero(job.right(seen, job.images, job.goal))
    for part in attack.attacks():
        if not len(standing):
            break
        rest = job.rest(standing)
        tried = _run_batches(part, rest)
        distance = distances(rest.images, tried.images)[attack.threat.norm or "linf"]
        fell = ~job.right(seen, tried.images, rest.goal) & within_budget(distance, attack.budget)
        crafted[standing[fell]] = tried.images[fell]
        gradients += tried.gradients
        first = first if first.images else tried.first
        queries += tried.queries + calls * len(standing)
        standing = standing[~fell]
    if job.on_progress:
        job.on_progress(len(job.images))
    return Crafted(crafted, None, gradients, queries, time.perf_counter() - began, first)


def _one_batch(attack: Attack, counted: Counted, call: Any, given: Sequence[Any]) -> np.ndarray:
    name, images = name_of(attack), given[0].numpy()
    try:
        crafted = np.asarray(call(*given))
    except (KeyboardInterrupt, UsageError, MemoryError):
        raise
    except tf.errors.OperatorNotAllowedInGraphError as error:
        raise PluginError(
            f"attack {name} failed: Python's if, for or bool() ran over a tensor; use tf.where, "
            "tf.cond and tfrobust.engine.loop.iterate, or set `autograph = True` on its class; an "
            'option with `trace="input"` is a tensor'
        ) from error
    except Exception as error:  # a third-party attack may raise anything
        if attack.needs_gradients and not has_gradients(counted.inner, given[0][:1]):
            raise without_gradients(name) from error
        raise PluginError(f"attack {name} failed: {_cause(error)}") from error
    if crafted.shape != images.shape or crafted.dtype != images.dtype:
        raise PluginError(
            f"attack {name} broke its contract: expected images {images.dtype} {images.shape}; "
            f"received: {crafted.dtype} {crafted.shape}"
        )
    return crafted


def _cause(error: Exception) -> str:
    """Return an error's kind and first line; of a traced function's, what stands below the code."""
    kind = type(error).__name__
    for line in str(error).splitlines():
        if line.strip().startswith((f"{kind}: ", "assertion failed: ")):
            return one_line(line)
    return f"{kind}: {one_line(error)}"


def _check_attack(attack: Attack, classifier: Classifier) -> None:
    try:
        hash(attack)
    except TypeError as error:
        raise PluginError(
            f"attack {name_of(attack)} broke its contract: its options cannot be hashed "
            f"({one_line(error)}); declare tuples instead of lists and dicts"
        ) from error
    attack.check(classifier)
