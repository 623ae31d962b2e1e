"""What an attack is run on, and the ways of running it: in batches, as an ensemble, metered."""

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
from tfrobust.classifiers.traces import Traces
from tfrobust.engine.batch import craft_batch
from tfrobust.engine.compiled import compiled
from tfrobust.engine.counted import NONE_SEEN, FirstGradients
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.learning import Learned
from tfrobust.engine.object_boxes import free_of
from tfrobust.engine.recording import AskedQueries, recording_of
from tfrobust.engine.victim import persistent, victim_of
from tfrobust.errors import UsageError
from tfrobust.meter import Goal
from tfrobust.norms.distances import distances, within_budget
from tfrobust.random import content_seeds
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
        found: what was reached by each number of queries, if it was recorded.
    """

    images: Images
    targets: Labels | None
    gradients: int
    queries: int
    seconds: float
    first: FirstGradients = NONE_SEEN
    cut_off: int = 0
    unpaid: bool = False
    found: AskedQueries | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How an attack is run.

    Attributes:
        targets: for a targeted attack the classes to reach, `(n,)`, or the rule that picks them:
            the classifier's `least_likely` class, the class `next` to the label, a `random` one;
            never one that is masked by a large negative logit, which no attack reaches. An attack
            on one class has its own target: see `one_class`.
        known_classes: a rule picks among this many classes, the first ones; none: among all.
        starts: where the attack ended at a smaller budget, float32 `(n, height, width, channels)`
            in the ball and in [0, 1]. It goes on from there (`Attack.continued`), unless it has no
            use for such points (`Attack.takes_starts`).
        boxes: for an attack on a region, float32 `(n, k, 4)` filled up with zeros, or `(k, 4)` an
            image; see `tfrobust.data.boxes`. An image whose region has no pixel stays unchanged.
        seed: decides everything random.
        batch_size: images at a time; memory grows with it alone.
        on_progress: called with the number of images done after each batch.
        record: record what a black-box attack reaches by each number of queries; see
            `tfrobust.engine.recording`.

    Raises:
        UsageError: a batch size below 1.
    """

    targets: Labels | TargetRule = "least_likely"
    known_classes: int | None = None
    starts: Images | None = None
    boxes: Boxes | Sequence[Boxes] | None = None
    seed: int = 0
    batch_size: int = BATCH_SIZE
    on_progress: Callable[[int], None] | None = None
    record: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size: expected 1 or more; received: {self.batch_size}")


@dataclasses.dataclass(frozen=True)
class Job:
    """What an attack is run on, and how."""

    classifier: Classifier
    images: Images
    goal: Labels  # the classes to leave, or those to reach
    starts: Images | None  # where to begin, if the attack takes such points
    boxes: Boxes | None  # (n, most, 4), if the attack needs them
    settings: RunSettings
    numbers: np.ndarray  # of the images, among those that the attack began with
    done: int = 0  # images that are not part of it any more

    def rest(self, rows: np.ndarray) -> Job:
        """Return the same job with only some of the images; those left out count as done."""
        boxes = None if self.boxes is None else self.boxes[rows]
        starts = None if self.starts is None else self.starts[rows]
        done = self.done + len(self.images) - len(rows)
        return dataclasses.replace(
            self,
            images=self.images[rows],
            goal=self.goal[rows],
            starts=starts,
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


def run_job(attack: Attack, job: Job) -> Crafted:
    """Run an attack on a job, metered where the classifier asks for it."""
    return _run(attack, job) if job.classifier.meter is None else _metered(attack, job)


def _run(attack: Attack, job: Job) -> Crafted:
    if isinstance(attack, Ensemble):
        return _run_ensemble(attack, job)
    return _run_batches(attack, job)


def _metered(attack: Attack, job: Job) -> Crafted:
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


def _run_batches(attack: Attack, job: Job) -> Crafted:
    """Run one attack on all images of a job, a batch at a time."""
    starts = job.starts if attack.takes_starts else None
    attack = attack if starts is None else attack.continued()
    recording = recording_of(attack, job.classifier) if job.settings.record else None
    if recording:
        recording.begin(job.images, job.goal)
    attacked = recording or job.classifier
    counted, call = compiled(persistent(attack, attacked), attacked, begins_at=starts is not None)
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
        inputs += [] if starts is None else [tf.constant(starts[rows])]
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
        found=recording.finish() if recording else None,
    )


def _run_ensemble(ensemble: Ensemble, job: Job) -> Crafted:
    """Run each attack of an ensemble on the images that are unbroken so far, over all batches."""
    began = time.perf_counter()
    job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, record=False))
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
