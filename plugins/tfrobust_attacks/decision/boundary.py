"""The boundary attack: a random walk along the decision boundary, towards the image.

d = x_t − x;  s = clip((d + δ ‖d‖ η⊥) / √(1 + δ²)),  x̃ = x + (1 − ε) ‖d‖ s / ‖s‖  where s is longer;
x_{t+1} = x̃ if that is adversarial. η⊥: a random unit vector across d.

Brendel, Rauber & Bethge, "Decision-based adversarial attacks: reliable attacks against black-box
machine learning models" (2018). Threat: decision-based, minimum L2 norm.
δ and ε adapt to the success rate, as in the paper: both grow where more than half of the steps
along the boundary (s) are adversarial, and shrink where less than a fifth are; ε also grows where
more than a quarter of the candidates are adversarial, and shrinks where less than a tenth are
(Foolbox's thresholds).
Departures: the rates are measured over five checks, where Foolbox waits for 100 and 30, so that the
steps still adapt in a short run. All images step along the same η. For the start and the end see
`starting_points`; a limit of `queries` ends the walk earlier.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.classifiers.asking import tiled
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import L2
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.decision_walk import DecisionWalk, Start
from tfrobust_attacks.decision.starting_points import Oracle, Search, settled

_CHECKS = 5  # of s and x̃ before the step sizes adapt
_ALONG = (0.2, 0.5)  # share of adversarial s below which steps shrink, above which they grow
_NEARER = (0.1, 0.25)  # the same for x̃
_LARGEST_SOURCE_STEP = 0.5


class _State(NamedTuple):
    low: Any  # (batch, pixels): the bounds of [0, 1], relative to the clean image
    high: Any
    labels: Labels
    offset: Any  # (batch, pixels): d; clean image + d is always adversarial
    length: PerImage  # ‖d‖
    spherical_step: PerImage  # δ
    source_step: PerImage  # ε
    along: PerImage  # number of adversarial s in the checks so far
    nearer: PerImage  # number of adversarial x̃ in them
    done: Flags


@plugin
class Boundary(DecisionWalk):
    """A random walk along the decision boundary, towards the image."""

    steps: int = option("candidate images per image", default=25_000, ge=1)
    spherical_step: float = option(
        "δ: first step along the boundary, as a share of ‖d‖", default=0.01, gt=0
    )
    source_step: float = option(
        "ε: first step towards the image, as a share of ‖d‖", default=0.01, gt=0, lt=1
    )
    step_adaptation: float = option("factor by which step sizes grow and shrink", default=1.5, gt=1)
    source_step_convergence: float = option("the walk ends if ε is below this", default=1e-7, ge=0)
    update_stats_every_k: int = option(
        "candidates between two updates of the step sizes", default=10, ge=1
    )

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum L2 norm."""
        return Threat("decision", "l2", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no start was found. See `Attack`."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        oracle = Oracle(classifier, labels, self.targeted)
        start = self.begin(oracle, images, seeds, geometry=L2(), halvings=Search().halvings)
        if start is None:
            return images
        steps = self._affordable_steps(start.queries)
        shared = run_seed(seeds)
        state = iterate(
            lambda state, number: self._round(classifier, state, number, shared, steps),
            self._start(images, labels, start),
            steps=math.ceil(steps / self.update_stats_every_k),
        )
        near = tf.clip_by_value(images + tf.reshape(state.offset, tf.shape(images)), 0.0, 1.0)
        return blend(start.found, settled(oracle, images, near), images)

    def _affordable_steps(self, spent: int) -> int:
        """Return how many candidates the budget allows; a check costs one more query."""
        if self.queries is None:
            return self.steps
        interval, left = self.update_stats_every_k, self.queries - spent
        rounds, rest = divmod(left, interval + 1)
        return min(self.steps, rounds * interval + max(rest - 1, 0))

    def _start(self, clean: Images, labels: Labels, start: Start) -> _State:
        pixels = math.prod(clean.shape[1:])
        low, offset = (tf.reshape(x, (-1, pixels)) for x in (-clean, start.images - clean))
        zeros = tf.zeros_like(labels, tf.float32)
        return _State(
            low=low,
            high=1.0 + low,
            labels=labels,
            offset=offset,
            length=tf.norm(offset, axis=1),
            spherical_step=zeros + self.spherical_step,
            source_step=zeros + self.source_step,
            along=zeros,
            nearer=zeros,
            done=~start.found,
        )

    def _round(
        self, classifier: Classifier, state: _State, number: Any, seed: Any, steps: int
    ) -> _State:
        """Take one step and check its success, take the steps up to the next check, and adapt."""
        first = number * self.update_stats_every_k
        last = tf.minimum(first + self.update_stats_every_k, steps)
        state = self._check(classifier, state, tf.stack([seed, first]))
        rows = tf.TensorShape([None])
        _, offset, length = tf.while_loop(
            lambda step, *_: step < last,
            lambda step, offset, length: self._walk(
                classifier,
                state._replace(offset=offset, length=length),
                tf.stack([seed, step]),
            ),
            (first + 1, state.offset, state.length),
            shape_invariants=(tf.TensorShape([]), state.offset.shape, rows),
            parallel_iterations=1,
        )
        state = state._replace(offset=offset, length=length)
        return tf.cond((number + 1) % _CHECKS == 0, lambda: self._adapt(state), lambda: state)

    def _check(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Take a step, and count whether s and x̃ are adversarial."""
        sphere, candidate, length = _propose(state, seed)
        both = tf.concat([candidate - state.low, sphere - state.low], 0)
        with tiled(2):
            hits = self._fooled(classifier, both, tf.tile(state.labels, [2]))
        hit, along = tf.split(hits, 2)
        return state._replace(
            offset=blend(hit, candidate, state.offset),
            length=tf.where(hit, length, state.length),
            along=state.along + tf.cast(along, tf.float32),
            nearer=state.nearer + tf.cast(hit, tf.float32),
        )

    def _walk(self, classifier: Classifier, state: _State, seed: Any) -> tuple[Any, Any, PerImage]:
        """Take a step; return the number of the next step, the offset and its length."""
        _, candidate, length = _propose(state, seed)
        hit = self._fooled(classifier, candidate - state.low, state.labels)
        offset = blend(hit, candidate, state.offset)
        return seed[1] + 1, offset, tf.where(hit, length, state.length)

    def _fooled(self, classifier: Classifier, pixels: Any, labels: Labels) -> Flags:
        images = tf.reshape(pixels, (-1, *classifier.image_shape))
        return Oracle(classifier, labels, self.targeted).fooled(images)

    def _adapt(self, state: _State) -> _State:
        both = self._factor(state.along, _ALONG)
        source_step = state.source_step * both * self._factor(state.nearer, _NEARER)
        source_step = tf.minimum(source_step, _LARGEST_SOURCE_STEP)
        return state._replace(
            spherical_step=state.spherical_step * both,
            source_step=source_step,
            along=tf.zeros_like(state.along),
            nearer=tf.zeros_like(state.nearer),
            done=state.done | (source_step < self.source_step_convergence),
        )

    def _factor(self, count: PerImage, wanted: tuple[float, float]) -> PerImage:
        least, most = (share * _CHECKS for share in wanted)
        grown = tf.where(count > most, self.step_adaptation, 1.0)
        return tf.where(count < least, 1.0 / self.step_adaptation, grown)


def _propose(state: _State, seed: Any) -> tuple[Any, Any, PerImage]:
    """Return s and x̃, both minus x, and the length of the latter.

    With η = a d / ‖d‖ + b η⊥ there is no need to compute η⊥: the sum d + δ ‖d‖ η⊥ is a combination
    of d and η, with one factor per image for each of them.
    """
    length, step = state.length, state.spherical_step
    noise = tf.random.stateless_normal((state.offset.shape[1],), seed)
    a = tf.linalg.matvec(state.offset, noise) / length
    b = tf.sqrt(tf.reduce_sum(noise**2) - a**2)
    sideways = step * length / b
    shrink = 1.0 / tf.sqrt(1.0 + step**2)
    keep = shrink * (1.0 - sideways * a / length)
    moved = keep[:, None] * state.offset + (shrink * sideways)[:, None] * noise
    sphere = tf.clip_by_value(moved, state.low, state.high)
    reached = tf.sqrt(tf.reduce_sum(sphere * sphere, 1))
    factor = tf.minimum(1.0, (1.0 - state.source_step) * length / reached)
    return sphere, factor[:, None] * sphere, factor * reached
