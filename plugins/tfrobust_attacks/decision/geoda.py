"""GeoDA: the nearest image along the estimated normal of the decision boundary.

At the boundary point x_t the normal w is estimated from the decisions at x_t + σ u, u from the low
frequencies; x_{t+1} = x + r v with the least r that is adversarial, v = w/‖w‖₂ (L2) or sign(w)
(Linf). Where the boundary is flat, x + r v is the nearest image.

Rahmati, Moosavi-Dezfooli, Frossard & Dai, "GeoDA: a geometric framework for black-box adversarial
attacks" (2020). Threat: decision-based, minimum L2 or Linf norm.
The estimates of later steps get more queries, each λ^(−2/3) times those of the one before, as the
paper's bound asks. Departures: the number of steps is the largest whose first estimate has
`first_probes` queries (or one step, with fewer), and all `queries` are spent. σ is a share of the
distance, 2 % a pixel (the paper: 0.0002 a pixel): on MNIST that lowers the median distance by a
tenth against 0.2 %. Radii are bisected to half of it, for a probe must reach across the boundary.
The mean decision is subtracted, as in HopSkipJump. A ray is tried up to 2.25 times as far as x_t;
where nothing there is adversarial, x_t stays. The nearest image of all steps is returned. All
images try the same u. For the start and the end see `starting_points`.
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
from tfrobust_attacks.decision.boundary_normals import DRAWN, estimated_normal
from tfrobust_attacks.decision.decision_walk import DecisionWalk
from tfrobust_attacks.decision.starting_points import Oracle, settled
from tfrobust_attacks.shared.waves import cosine_waves

_TRIALS = 3  # of a ray: at the distance of x_t, and at 1.5 and 2.25 times that
_FARTHER = 1.5
_FEWEST = 20  # probes of the only step, where the budget has room for no more


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images  # x_t, on the adversarial side of the boundary
    distance: PerImage
    best: Images
    least: PerImage  # distance of the best image
    done: Flags


@plugin
class GeometricDecision(DecisionWalk):
    """Follow the normal of the decision boundary, estimated from decisions."""

    queries: int = option("hard limit of queries per image", default=5000, ge=1)
    norm: Literal["l2", "linf"] = option("norm of the distance", default="l2")
    sigma: float = option(
        "σ: size of a probe in every pixel, as a share of the distance", default=0.02, gt=0, lt=1
    )
    frequencies: float = option(
        "share of the lowest frequencies of each side that probes have", default=0.5, gt=0, le=1
    )
    decay: float = option("λ: from 0 to 1; less gives later steps more", default=0.6, gt=0, lt=1)
    first_probes: int = option(
        "least queries for the first estimate, if there are more", default=120, ge=1
    )

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum norm."""
        return Threat("decision", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no start was found. See `Attack`."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        oracle, geometry = Oracle(classifier, labels, self.targeted), ball(self.norm)
        start = self.begin(oracle, images, seeds, geometry=geometry, halvings=self._halvings)
        if start is None:
            return images
        probes = self._schedule(self.queries - start.queries)
        near, distance = start.images, geometry.distance(start.images, images)
        shared = run_seed(seeds)

        def step(state: _State, number: Any) -> _State:
            count = tf.gather(tf.constant(probes, tf.int32), number)
            return self._step(classifier, state, count, fold(tf.stack([shared, 0]), number))

        state = iterate(
            step,
            _State(images, labels, near, distance, near, distance, done=~start.found),
            steps=len(probes),
        )
        return blend(start.found, settled(oracle, images, state.best), images)

    @property
    def _halvings(self) -> int:
        return math.ceil(math.log2(2.0 / self.sigma))

    def _schedule(self, left: int) -> list[int]:
        """Return the probes of each step; with trials and halvings they cost at most `left`."""
        cost, growth = _TRIALS + self._halvings, self.decay ** (-2.0 / 3.0)
        shares: list[float] = []
        while left >= (len(shares) + 1) * cost + self.first_probes * sum(
            growth**number for number in range(len(shares) + 1)
        ):
            shares.append(growth ** len(shares))
        if not shares and left >= cost + _FEWEST:
            shares.append(1.0)
        scale = (left - len(shares) * cost) / sum(shares) if shares else 0.0
        return [int(scale * share) for share in shares]

    def _step(self, classifier: Classifier, state: _State, probes: Any, seed: Any) -> _State:
        """Estimate the normal, and search the boundary along it."""
        geometry, oracle = ball(self.norm), Oracle(classifier, state.labels, self.targeted)
        waves = [cosine_waves(side, self.frequencies) for side in classifier.image_shape[:2]]
        sizes = len(waves[0]), len(waves[1]), classifier.image_shape[2]
        # Of d coefficients of variance 1: as much noise a pixel as with all frequencies.
        scale = math.sqrt(math.prod(classifier.image_shape) / math.prod(sizes))

        def draw(group: Any) -> Images:
            noise = tf.random.stateless_normal((DRAWN, *sizes), seed + tf.stack([0, group]))
            return scale * tf.einsum("bijc,ih,jw->bhwc", noise, *map(tf.constant, waves))

        normal = estimated_normal(
            oracle,
            state.current,
            draw,
            probes=probes,
            width=self.sigma * L2().distance(state.current, state.clean),
        )
        current, found = self._along(oracle, state, geometry.steepest(normal))
        distance = tf.where(found, geometry.distance(current, state.clean), state.distance)
        current = blend(found, current, state.current)
        nearer = distance < state.least
        return state._replace(
            current=current,
            distance=distance,
            best=blend(nearer, current, state.best),
            least=tf.minimum(distance, state.least),
        )

    def _along(self, oracle: Oracle, state: _State, direction: Images) -> tuple[Images, Flags]:
        """Return the first adversarial image of a ray, and whether there is one."""

        def at(radius: PerImage) -> Images:
            moved = state.clean + radius[:, None, None, None] * direction
            return tf.clip_by_value(moved, 0.0, 1.0)

        low, high = tf.zeros_like(state.distance), state.distance
        found = oracle.fooled(at(high))
        for _ in range(_TRIALS - 1):
            low = tf.where(found, low, high)
            high = tf.where(found, high, _FARTHER * high)
            found |= oracle.fooled(at(high))

        def halve(number: Any, low: PerImage, high: PerImage) -> Any:
            middle = 0.5 * (low + high)
            hit = oracle.fooled(at(middle))
            return number + 1, tf.where(hit, low, middle), tf.where(hit, middle, high)

        _, _, high = tf.while_loop(
            lambda number, *_: number < self._halvings, halve, (0, low, high), parallel_iterations=1
        )
        return at(high), found
