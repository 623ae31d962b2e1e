"""HopSkipJump: gradient descent on the distance, with a gradient estimated from decisions.

At the boundary, the gradient is estimated from the decisions at x_t + δ u_b, u_b random:
v = Σ_b (φ(x_t + δ u_b) − φ̄) u_b with φ = 1 where adversarial, else −1. x_{t+1} is x_t + ξ v/‖v‖
(the signs of v in Linf), where ξ = ‖x_t − x‖ / √t is halved until that point is adversarial, and
the point is then bisected back to the boundary.

Chen, Jordan & Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack" (2020).
Threat: decision-based, minimum L2 or Linf norm.
Departures: δ is 0.1 (in Linf 0.3) of ‖x_t − x‖₂, and the bisection ends at δ/√d of the distance:
a random probe of length δ moves about δ/√d across the boundary. The paper's δ is γ/d of the
distance (`gamma=1`), which is so narrow that each bisection takes six halvings more in L2 and
thirteen in Linf; on MNIST wide probes also tell the signs of the gradient better. The nearest image
of all steps is returned, not the last. ξ is tried at most twelve times, with `queries` six; if none
is adversarial, the step is skipped. δ is never so small that float32 would round it away. All
images try the same random directions. With `queries`, the search for a start takes at most an
eighth of them, and the last step has as many probes as the budget leaves after its other costs, if
they are twenty or more. For the start and the end see `starting_points`.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import L2, ball
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.decision_walk import DecisionWalk
from tfrobust_attacks.decision.starting_points import Oracle, settled, to_boundary

_TRIALS, _FEWER_TRIALS = 12, 6  # of ξ; with a budget, in which each has to be set aside
_FEWEST = 20  # probes of the last step; fewer than these say too little
_WIDTHS = {"l2": 0.1, "linf": 0.3}  # δ, as a share of the L2 distance
_FIRST_WIDTH = 0.1  # δ of the first step, with γ
_START = 8  # the share of a budget that the start takes, inverted
_LEAST_CHANGE = 2e-6  # of a pixel in a probe, on average; float32 rounds 1 to 6e-8
_DRAWN = 8  # directions drawn from one seed: the draws must not depend on the batch
_AT_ONCE = 2**20  # pixel values in one forward pass of probes, to bound the memory


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images  # on the adversarial side of the boundary
    distance: PerImage  # of the current image
    best: Images
    least: PerImage  # distance of the best image
    done: Flags


@plugin
class HopSkipJump(DecisionWalk):
    """Descent along the decision boundary, with gradients estimated from decisions."""

    norm: Literal["l2", "linf"] = option("norm of the distance", default="l2")
    steps: int = option("gradient estimates per image", default=64, ge=1)
    initial_gradient_eval_steps: int = option("queries for the first estimate", default=100, ge=1)
    max_gradient_eval_steps: int = option(
        "maximum number of queries for an estimate", default=10_000, ge=1
    )
    gamma: float | None = option(
        "γ: probes as narrow as the paper has them; none: wide ones", default=None, gt=0
    )

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum norm."""
        return Threat("decision", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no start was found. See `Attack`."""
        halvings = self._halvings(math.prod(classifier.image_shape))
        seeds = image_seeds(seed, tf.shape(images)[0])
        oracle, geometry = Oracle(classifier, labels, self.targeted), ball(self.norm)
        start = self.begin(
            oracle, images, seeds, geometry=geometry, halvings=halvings, share=_START
        )
        if start is None:
            return images
        near, distance = start.images, geometry.distance(start.images, images)
        shared, schedule = run_seed(seeds), self._schedule(start.queries, halvings)
        probes = tf.constant(schedule, tf.int32)
        state = iterate(
            lambda state, number: self._step(classifier, state, number, shared, probes),
            _State(images, labels, near, distance, near, distance, done=~start.found),
            steps=len(schedule),
        )
        return blend(start.found, settled(oracle, images, state.best), images)

    def _halvings(self, pixels: int) -> int:
        """Return how many halvings a bisection takes, by its precision.

        It is δ / √d, for a random probe of length δ moves δ / √d across the boundary; with γ it is
        γ / d^1.5 of the distance in L2 and γ / d² in Linf.
        """
        if self.gamma is None:
            precision = math.sqrt(pixels) / _WIDTHS[self.norm]
        else:
            precision = pixels ** {"l2": 1.5, "linf": 2.0}[self.norm] / self.gamma
        return min(max(math.ceil(math.log2(precision)), 1), 20)

    def _schedule(self, spent: int, halvings: int) -> list[int]:
        """Return the probes of each step that `queries` has room for."""
        schedule = [self._probes(number) for number in range(self.steps)]
        if self.queries is None:
            return schedule
        for number, wanted in enumerate(schedule):
            spent += self._trials + halvings
            schedule[number] = min(wanted, self.queries - spent)
            if schedule[number] < min(wanted, _FEWEST):
                return schedule[:number]
            spent += schedule[number]
        return schedule

    @property
    def _trials(self) -> int:
        return _TRIALS if self.queries is None else _FEWER_TRIALS

    def _probes(self, number: int) -> int:
        wanted = self.initial_gradient_eval_steps * math.sqrt(number + 1)
        return int(min(wanted, self.max_gradient_eval_steps))

    def _step(
        self, classifier: Classifier, state: _State, number: Any, seed: Any, probes: Any
    ) -> _State:
        """Estimate the gradient, step along it, and bisect back to the boundary."""
        geometry, halvings = ball(self.norm), self._halvings(math.prod(classifier.image_shape))
        oracle = Oracle(classifier, state.labels, self.targeted)
        direction = geometry.steepest(self._gradient(oracle, state, number, seed, probes))
        leapt = _leap(oracle, state, direction, number, self._trials)
        current = to_boundary(oracle, state.clean, leapt, geometry=geometry, halvings=halvings)
        distance = geometry.distance(current, state.clean)
        nearer = distance < state.least
        return state._replace(
            current=current,
            distance=distance,
            best=blend(nearer, current, state.best),
            least=tf.minimum(distance, state.least),
        )

    def _gradient(
        self, oracle: Oracle, state: _State, number: Any, seed: Any, schedule: Any
    ) -> Images:
        """Return the estimated gradient, not normalised."""
        shape, pixels = tf.shape(state.current), math.prod(state.current.shape[1:])
        probes = tf.gather(schedule, number)
        width = self._width(state, number, pixels)[:, None, None]
        current = tf.reshape(state.current, (-1, 1, pixels))
        low, high = -current, 1.0 - current
        draws = tf.maximum(1, _AT_ONCE // (_DRAWN * pixels * shape[0]))
        seed = fold(tf.stack([seed, 0]), number)

        def body(asked: Any, sums: Any, verdicts: PerImage) -> Any:
            first, last = asked // _DRAWN, -(-probes // _DRAWN)
            numbers = tf.range(first, tf.minimum(first + draws, last))
            noise = self._directions(seed, numbers, pixels)[: probes - asked]
            count = tf.shape(noise)[0]
            change = tf.clip_by_value(width * noise, low, high)
            probed = tf.reshape(current + change, (-1, *state.current.shape[1:]))
            hit = tf.reshape(oracle.repeated(count).fooled(probed), (-1, count))
            verdict = 2.0 * tf.cast(hit, tf.float32) - 1.0
            sums += tf.matmul(tf.stack([verdict, tf.ones_like(verdict)], 1), change)
            return asked + count, sums, verdicts + tf.reduce_sum(verdict, axis=1)

        start = (0, tf.zeros((shape[0], 2, pixels)), tf.zeros(shape[:1]))
        _, sums, verdicts = tf.while_loop(
            lambda asked, *_: asked < probes, body, start, parallel_iterations=1
        )
        mean = verdicts / tf.cast(probes, tf.float32)
        baseline = tf.where(tf.abs(mean) < 1.0, mean, 0.0)  # else the sum is 0 where all agree
        return tf.reshape(sums[:, 0] - baseline[:, None] * sums[:, 1], shape)

    def _width(self, state: _State, number: Any, pixels: int) -> PerImage:
        """Return δ."""
        if self.gamma is None:
            width = _WIDTHS[self.norm] * L2().distance(state.current, state.clean)
        else:
            width = tf.where(number == 0, _FIRST_WIDTH, self.gamma * state.distance / pixels)
        return tf.maximum(width, _LEAST_CHANGE * math.sqrt(pixels))

    def _directions(self, seed: Any, numbers: Any, pixels: int) -> Any:
        """Draw `_DRAWN` unit vectors for each number, `(directions, pixels)`."""

        def draw(number: Any) -> Any:
            own, shape = seed + tf.stack([0, number]), (_DRAWN, pixels)
            if self.norm == "linf":
                return tf.random.stateless_uniform(shape, own, -1.0, 1.0)
            return tf.random.stateless_normal(shape, own)

        drawn = tf.map_fn(draw, numbers, fn_output_signature=tf.float32)
        drawn = tf.reshape(drawn, (-1, pixels))
        return drawn / tf.norm(drawn, axis=1, keepdims=True)


def _leap(oracle: Oracle, state: _State, direction: Images, number: Any, trials: int) -> Images:
    """Return the adversarial image at the longest step ξ; the current image if there is none."""

    def at(length: PerImage) -> Images:
        moved = state.current + length[:, None, None, None] * direction
        return tf.clip_by_value(moved, 0.0, 1.0)

    def halve(trial: Any, length: PerImage, hit: Flags) -> Any:
        length = tf.where(hit | (trial == 0), length, 0.5 * length)
        return trial + 1, length, hit | oracle.fooled(at(length))

    first = state.distance / tf.sqrt(tf.cast(number + 1, tf.float32))
    _, length, hit = tf.while_loop(
        lambda trial, _, hit: (trial < trials) & ~tf.reduce_all(hit),
        halve,
        (0, first, tf.zeros_like(state.done)),
        parallel_iterations=1,
    )
    return at(tf.where(hit, length, 0.0))
