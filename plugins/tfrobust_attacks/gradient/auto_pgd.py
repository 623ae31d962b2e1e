"""The ascent that all variants of Auto-PGD share: see `tfrobust_attacks.gradient.apgd`."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, Literal

import tensorflow as tf

from tfrobust.attack import GradientAttack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.engine.regions import confined
from tfrobust.engine.starts import starting_points
from tfrobust.norms import Region, ball
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds
from tfrobust.types import Images, Labels, Logits, PerImage
from tfrobust_attacks.gradient.apgd_schedule import Schedule, schedule
from tfrobust_attacks.gradient.apgd_state import ApgdState, begin
from tfrobust_attacks.gradient.ascent import CONTINUED
from tfrobust_attacks.shared.rivals import runs_of

_MOMENTUM = 0.25  # 1 − α of the paper's equation (1)


_OUTCOME = ("result", "result_loss", "fooled")


@plugin
class AutoPgd(GradientAttack):
    """What the three variants share; they differ in the loss."""

    takes_starts: ClassVar[bool] = True

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

    def continued(self) -> AutoPgd:
        """Return the attack with a fifth of its steps; see `Attack`."""
        return dataclasses.replace(self, steps=-(-self.steps // CONTINUED))

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
            begin(images, region, labels, rivals, seeds),
            steps=runs_of(self.restarts, rivals.shape[1]),
            early_stop=self.early_stop,
            outcome=_OUTCOME,
        )
        return state.result

    def _run(self, classifier: Classifier, state: ApgdState, run: Any) -> ApgdState:
        """Ascend from one random start, with one loss."""
        phases = schedule(self.norm, self.steps)
        radius = phases.factors[0] * self.eps
        region = ball(self.norm).region(state.clean, radius)
        start = self._start(state, region, radius, run)
        state = state._replace(region=region, current=start, previous=start)
        state = self._look(classifier, state, run, inside=phases.factors[0] == 1.0)
        state = iterate(
            lambda state, number: self._step(classifier, state, run, number, phases),
            self._start_here(state, radius),
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

    def _start(self, state: ApgdState, region: Region, radius: Any, run: Any) -> Images:
        """Return a random point, or the one that is held for the first start with each loss."""
        points = starting_points()
        if points is None:
            return self._random_start(state, region, radius, run)
        return tf.cond(
            run < state.rivals.shape[1],
            lambda: points,
            lambda: self._random_start(state, region, radius, run),
        )

    def _random_start(self, state: ApgdState, region: Region, radius: Any, run: Any) -> Images:
        noise = ball(self.norm).draw(fold(state.seeds, run), tf.shape(state.clean)[1:], radius)
        return ball(self.norm).project(state.clean + confined(noise), region)

    def _start_here(self, state: ApgdState, radius: Any) -> ApgdState:
        """Begin a phase at the current point: it is the best so far, and the step is longest."""
        longest = radius if self.norm == "l1" else 2.0 * radius
        return state._replace(
            step=tf.fill([tf.shape(state.current)[0], 1, 1, 1], longest),
            best=state.current,
            best_gradient=state.gradient,
            best_loss=state.loss,
            best_fooled=state.fooled_now,
            checked_loss=state.loss,
            rises=tf.zeros_like(state.loss),
            halved=tf.zeros_like(state.done),
        )

    def _step(
        self, classifier: Classifier, state: ApgdState, run: Any, number: Any, phases: Schedule
    ) -> ApgdState:
        """Move, look, and adapt the step at checkpoints; or go on in a smaller ball."""
        before, length = state.loss, tf.gather(tf.constant(phases.lengths), number)
        if not any(phases.begins):
            state = self._look(classifier, self._move(state, number), run, inside=True)
            return self._compare(state, before, length)
        factor = tf.gather(tf.constant(phases.factors), number)
        begins = tf.gather(tf.constant(phases.begins), number)
        radius = factor * self.eps
        state = tf.cond(
            begins, lambda: self._shrink(state, radius), lambda: self._move(state, number)
        )
        state = self._look(classifier, state, run, inside=factor == 1.0)
        return tf.cond(
            begins,
            lambda: self._start_here(state, radius),
            lambda: self._compare(state, before, length),
        )

    def _shrink(self, state: ApgdState, radius: Any) -> ApgdState:
        """Project the best point into a smaller ball."""
        region = ball(self.norm).region(state.clean, radius)
        start = ball(self.norm).project(state.best, region)
        return state._replace(region=region, current=start, previous=start)

    def _compare(self, state: ApgdState, before: PerImage, length: Any) -> ApgdState:
        """Remember the best point, and adapt the step at a checkpoint."""
        better = state.loss > state.best_loss
        state = state._replace(
            best=blend(better, state.current, state.best),
            best_gradient=blend(better, state.gradient, state.best_gradient),
            best_loss=tf.maximum(state.loss, state.best_loss),
            best_fooled=tf.where(better, state.fooled_now, state.best_fooled),
            rises=state.rises + tf.cast(state.loss > before, tf.float32),
        )
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

    def _look(
        self, classifier: Classifier, state: ApgdState, run: Any, *, inside: Any
    ) -> ApgdState:
        """Find loss, gradient and, `inside` the ball asked for, verdict at the current point."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.current)
            logits = classifier(state.current)
        loss, slope = self.loss(logits, state, run)
        gradient = pulled_back(tape, logits, state.current, slope)
        fooled = is_adversarial(logits, state.labels, targeted=self.threat.targeted) & inside
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
