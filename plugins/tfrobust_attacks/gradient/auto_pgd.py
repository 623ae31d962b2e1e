"""The ascent that all variants of Auto-PGD share: see `tfrobust_attacks.gradient.apgd`."""

from __future__ import annotations

import abc
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.engine.regions import confined
from tfrobust.norms import Region, ball
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds
from tfrobust.types import Flags, Images, Labels, Logits, PerImage, Seeds
from tfrobust_attacks.shared.rivals import runs_of

_MOMENTUM = 0.25  # 1 − α of the paper's equation (1)


class ApgdState(NamedTuple):
    """One row an image; what a run of the ascent knows of it."""

    clean: Images
    region: Region
    labels: Labels  # to leave; where targeted, to reach
    rivals: Labels  # (batch, targets): the classes that the targeted loss tries
    seeds: Seeds
    current: Images
    previous: Images
    gradient: Images  # at `current`
    loss: PerImage  # at `current`
    step: Any  # (batch, 1, 1, 1)
    best: Images  # of this run, by loss
    best_gradient: Images
    best_loss: PerImage
    best_fooled: Flags
    checked_loss: PerImage  # `best_loss` at the last checkpoint
    rises: PerImage  # steps since then that raised the loss
    halved: Flags  # at the last checkpoint
    result: Images  # an adversarial image; until there is one, the best of all runs
    result_loss: PerImage
    fooled: Flags
    fooled_now: Flags  # at `current`
    done: Flags


_OUTCOME = ("result", "result_loss", "fooled")


@plugin
class AutoPgd(GradientAttack):
    """What the three variants share; they differ in the loss."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2", "l1"] = option("norm of the ball", default="linf")
    steps: int = option("N_iter: steps per run; each costs one gradient", default=100, ge=1)
    restarts: int = option(
        "random starts; each runs on the unbroken images", default=1, ge=1, trace="input"
    )
    rho: float = option(
        "ρ: share of steps that must raise the loss to keep the step",
        default=0.75,
        ge=0,
        le=1,
        trace="input",
    )
    early_stop: bool = option("stop on an image once it is adversarial", default=True)

    @property
    def threat(self) -> Threat:
        """White-box, within the ball."""
        return Threat("white-box", self.norm)

    @abc.abstractmethod
    def loss(self, logits: Logits, state: ApgdState, run: Any) -> tuple[PerImage, Logits]:
        """Return the loss to raise in one run, and its derivative by the logits."""

    def run(
        self, classifier: Classifier, images: Images, labels: Labels, rivals: Labels, seed: Any
    ) -> Images:
        """Ascend from a random start once a restart and rival."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        region = ball(self.norm).region(images, self.eps)
        state = iterate(
            lambda state, number: self._run(classifier, state, number),
            _begin(images, region, labels, rivals, seeds),
            steps=runs_of(self.restarts, rivals.shape[1]),
            early_stop=self.early_stop,
            outcome=_OUTCOME,
        )
        return state.result

    def _run(self, classifier: Classifier, state: ApgdState, run: Any) -> ApgdState:
        """Ascend from one random start, with one loss."""
        noise = ball(self.norm).draw(fold(state.seeds, run), tf.shape(state.clean)[1:], self.eps)
        start = ball(self.norm).project(state.clean + confined(noise), state.region)
        state = state._replace(current=start, previous=start)
        state = self._look(classifier, state, run)
        zero = tf.zeros_like(state.loss)
        longest = self.eps if self.norm == "l1" else 2.0 * self.eps
        state = state._replace(
            step=tf.fill([tf.shape(start)[0], 1, 1, 1], longest),
            best=start,
            best_gradient=state.gradient,
            best_loss=state.loss,
            best_fooled=state.fooled_now,
            checked_loss=state.loss,
            rises=zero,
            halved=tf.zeros_like(state.done),
        )
        state = iterate(
            lambda state, number: self._step(classifier, state, run, number),
            state,
            steps=self.steps,
            early_stop=self.early_stop,
            outcome=(*_OUTCOME, "best", "best_loss", "best_fooled"),
        )
        higher = (state.best_loss > state.result_loss) & (state.best_fooled | ~state.fooled)
        if self.early_stop:
            higher &= ~state.fooled
        return state._replace(
            result=blend(higher, state.best, state.result),
            result_loss=tf.where(higher, state.best_loss, state.result_loss),
        )

    def _step(self, classifier: Classifier, state: ApgdState, run: Any, number: Any) -> ApgdState:
        """Move, look, and adapt the step at checkpoints."""
        before = state.loss
        state = self._look(classifier, self._move(state, number), run)
        better = state.loss > state.best_loss
        state = state._replace(
            best=blend(better, state.current, state.best),
            best_gradient=blend(better, state.gradient, state.best_gradient),
            best_loss=tf.maximum(state.loss, state.best_loss),
            best_fooled=tf.where(better, state.fooled_now, state.best_fooled),
            rises=state.rises + tf.cast(state.loss > before, tf.float32),
        )
        length = tf.gather(tf.constant(checkpoints(self.steps)), number)
        return tf.cond(length > 0, lambda: self._adapt(state, length), lambda: state)

    def _move(self, state: ApgdState, number: Any) -> ApgdState:
        geometry = ball(self.norm)
        moved = geometry.step(state.current, state.gradient, state.step, state.region)
        if self.norm != "l1":  # a corner of the L1 ball is reached on a straight line or not at all
            momentum = tf.where(number > 0, _MOMENTUM, 0.0)
            drift = state.current - state.previous
            moved += momentum * (drift - (moved - state.current))
            moved = geometry.project(moved, state.region)
        return state._replace(current=moved, previous=state.current)

    def _look(self, classifier: Classifier, state: ApgdState, run: Any) -> ApgdState:
        """Find loss, gradient and verdict at the current point."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.current)
            logits = classifier(state.current)
        loss, slope = self.loss(logits, state, run)
        gradient = pulled_back(tape, logits, state.current, slope)
        fooled = is_adversarial(logits, state.labels, targeted=self.threat.targeted)
        first = fooled & ~state.fooled
        result = tf.cond(
            tf.reduce_any(first),
            lambda: blend(first, state.current, state.result),
            lambda: state.result,
        )
        return state._replace(
            gradient=gradient,
            loss=loss,
            result=result,
            fooled=state.fooled | fooled,
            fooled_now=fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )

    def _adapt(self, state: ApgdState, length: Any) -> ApgdState:
        """Send images that make no progress back to their best point, with half the step."""
        stuck = ~state.halved & (state.best_loss <= state.checked_loss)
        halve = stuck | (state.rises <= self.rho * tf.cast(length, tf.float32))
        return state._replace(
            current=blend(halve, state.best, state.current),
            gradient=blend(halve, state.best_gradient, state.gradient),
            loss=tf.where(halve, state.best_loss, state.loss),
            step=tf.where(halve[:, None, None, None], 0.5 * state.step, state.step),
            halved=halve,
            checked_loss=state.best_loss,
            rises=tf.zeros_like(state.rises),
        )


def checkpoints(steps: int) -> list[int]:
    """Return for each step 0, or at a checkpoint the number of steps since the last one.

    The first interval is 22 % of all steps; each next one is 3 % shorter, down to 6 %.
    """
    interval, shortest = max(int(0.22 * steps), 1), max(int(0.06 * steps), 1)
    shorter = max(int(0.03 * steps), 1)
    lengths, since = [], 0
    for _ in range(steps):
        since += 1
        lengths.append(since if since == interval else 0)
        if since == interval:
            interval, since = max(interval - shorter, shortest), 0
    return lengths


def _begin(
    images: Images, region: Region, labels: Labels, rivals: Labels, seeds: Seeds
) -> ApgdState:
    """Return a state whose every field has its shape; a run sets most of them."""
    no, zero = tf.zeros_like(labels, tf.bool), tf.zeros_like(labels, tf.float32)
    return ApgdState(
        clean=images,
        region=region,
        labels=labels,
        rivals=rivals,
        seeds=seeds,
        current=images,
        previous=images,
        gradient=images,
        loss=zero,
        step=zero[:, None, None, None],
        best=images,
        best_gradient=images,
        best_loss=zero,
        best_fooled=no,
        checked_loss=zero,
        rises=zero,
        halved=no,
        result=images,
        result_loss=zero - float("inf"),
        fooled=no,
        fooled_now=no,
        done=no,
    )
