"""SurFree: a search over circles through the image, without estimating any gradient.

With u the unit vector from x to the adversarial x_t at the distance r, and v random and orthogonal
to it, z(θ) = x + r cos θ (u cos θ + v sin θ) lies on a circle; its distance is r |cos θ|. Angles
±θ_max, then smaller ones are tried; from the first that is adversarial the largest is bisected.

Maho, Furon & Le Merrer, "SurFree: a fast surrogate-free black-box attack" (2021). Threat:
decision-based, minimum L2 norm.
θ_max grows by 1/ρ where a direction helps and shrinks by ρ where it does not. Departures: the
directions are a fixed random basis of the low frequencies (or as much of it as fits in memory),
which all images share and go through in turn; they are orthogonal to one another and not only
within the last hundred, and each is made orthogonal to u when it is used. θ_max starts at 30
degrees and stays at most 60. Every image is at a place of its own in the search, so that a step
costs each one query. For the start and the end see `starting_points`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import L2
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.decision_walk import DecisionWalk
from tfrobust_attacks.decision.starting_points import Oracle, Search, settled
from tfrobust_attacks.shared.waves import cosine_waves

_VALUES = 2**21  # of all directions: 8 MB
_WIDEST = math.pi / 3
_TINY = 1e-12


class _State(NamedTuple):
    clean: Images
    labels: Labels
    offset: Images  # from x to x_t, which is adversarial
    direction: Any  # int32 (batch,): which one is tried
    trial: Any  # int32 (batch,): of its angles; when all are tried the halvings follow
    turned: Images  # the nearest adversarial offset on this circle
    low: PerImage  # its angle; 0 as long as none is known
    high: PerImage  # an angle that is too wide
    widest: PerImage  # θ_max
    done: Flags


@plugin
class SurFree(DecisionWalk):
    """Turn around the image along random directions, from the predicted class alone."""

    queries: int = option("hard limit of queries per image", default=5000, ge=1)
    frequencies: float = option(
        "share of the lowest frequencies of each side that directions have",
        default=0.5,
        gt=0,
        le=1,
    )
    angles: int = option("T: angles tried on each side of x_t", default=3, ge=1)
    halvings: int = option("of the angle once one is adversarial", default=4, ge=0)
    theta_max: float = option("θ_max at the start, in degrees", default=30.0, gt=0, le=60)
    rho: float = option("ρ: factor by which θ_max shrinks", default=0.98, gt=0, lt=1)

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
        places, zeros = tf.zeros_like(labels, tf.int32), tf.zeros_like(labels, tf.float32)
        directions = self._directions(classifier, tf.stack([run_seed(seeds), 0]))
        state = iterate(
            lambda state, _: self._step(classifier, state, directions),
            _State(
                clean=images,
                labels=labels,
                offset=start.images - images,
                direction=places,
                trial=places,
                turned=start.images - images,
                low=zeros,
                high=zeros,
                widest=zeros + math.radians(self.theta_max),
                done=~start.found,
            ),
            steps=self.queries - start.queries,
            outcome=("offset", "turned", "low"),
        )
        offset = blend(tf.not_equal(state.low, 0.0), state.turned, state.offset)
        near = tf.clip_by_value(images + offset, 0.0, 1.0)
        return blend(start.found, settled(oracle, images, near), images)

    def _directions(self, classifier: Classifier, seed: Any) -> Any:
        """Return the coefficients of orthonormal directions, `(directions, waves …)`."""
        sizes = [math.ceil(self.frequencies * side) for side in classifier.image_shape[:2]]
        sizes.append(classifier.image_shape[2])
        dimensions = math.prod(sizes)
        count = min(dimensions, max(1, _VALUES // dimensions))
        basis = tf.linalg.qr(tf.random.stateless_normal((dimensions, count), seed)).q
        return tf.reshape(tf.transpose(basis), (count, *sizes))

    def _step(self, classifier: Classifier, state: _State, directions: Any) -> _State:
        """Ask whether the next angle is adversarial."""
        angle, scanning = self._next_angle(state)
        moved = self._turned(state, directions, angle)
        oracle = Oracle(classifier, state.labels, self.targeted)
        hit = oracle.fooled(state.clean + moved)
        beyond = angle + tf.sign(angle) * state.widest / self.angles
        trial = tf.where(scanning & hit, 2 * self.angles, state.trial + 1)
        turned, low = blend(hit, moved, state.turned), tf.where(hit, angle, state.low)
        failed = scanning & ~hit & (trial == 2 * self.angles)
        turns = (low != 0) & (trial >= 2 * self.angles + self.halvings)
        over = failed | turns
        rate = tf.where(turns, 1.0 / self.rho, tf.where(failed, self.rho, 1.0))
        return state._replace(
            offset=blend(turns, turned, state.offset),
            direction=tf.where(over, (state.direction + 1) % directions.shape[0], state.direction),
            trial=tf.where(over, 0, trial),
            turned=turned,
            low=tf.where(over, 0.0, low),
            high=tf.where(scanning & hit, beyond, tf.where(hit, state.high, angle)),
            widest=tf.minimum(rate * state.widest, _WIDEST),
        )

    def _next_angle(self, state: _State) -> tuple[PerImage, Flags]:
        """Return the angle to try, and whether it is one of the first ones."""
        side = tf.where(state.trial % 2 == 1, -1.0, 1.0)
        share = tf.cast(self.angles - state.trial // 2, tf.float32) / self.angles
        scanning = state.trial < 2 * self.angles
        middle = 0.5 * (state.low + state.high)
        return tf.where(scanning, side * share * state.widest, middle), scanning

    def _turned(self, state: _State, directions: Any, angle: PerImage) -> Images:
        """Return the offset at an angle of each image's circle."""
        waves = [
            tf.constant(cosine_waves(side, self.frequencies)) for side in state.clean.shape[1:3]
        ]
        drawn = tf.gather(directions, state.direction)
        way = tf.einsum("bijc,ih,jw->bhwc", drawn, *waves)
        length = L2().distance(state.offset, tf.zeros_like(state.offset))[:, None, None, None]
        here = state.offset / tf.maximum(length, _TINY)
        way -= here * tf.reduce_sum(here * way, (1, 2, 3), keepdims=True)
        theta = angle[:, None, None, None]
        turned = tf.cos(theta) * here + tf.sin(theta) * L2().steepest(way)
        moved = state.clean + length * tf.cos(theta) * turned
        return tf.clip_by_value(moved, 0.0, 1.0) - state.clean
