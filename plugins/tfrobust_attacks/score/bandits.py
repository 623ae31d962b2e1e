"""Bandits: projected gradient ascent along a prior that every pair of queries corrects.

With the prior v, a random u and q± = v ± δ u:  Δ = (L(x + η q₊/‖q₊‖) − L(x + η q₋/‖q₋‖)) / η;
v ← v moved along Δ u (exponentiated gradients in Linf, a plain step in L2); x ← Π_ε(x + a step
along v). The prior is kept on coarse tiles, since neighbouring pixels have similar gradients.

Ilyas, Engstrom & Madry, "Prior convictions: black-box adversarial attacks with bandits and priors"
(2019): Bandits-TD. Threat: score-based; Linf or L2.
Departures: all images of a step try the same u. The probes lie ahead of the iterate along the
prior, so the iterate is judged, for a query of its own, only after one of its two probes was
adversarial: a step costs two queries as a rule. (The paper's code judges every iterate and does not
count that.) The loss is the margin unless `loss` names another (the paper: cross-entropy). Each
image is at a place of its own in its step.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import Region, ball
from tfrobust.options import derived, option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.shared.scored import Answer, ScoreSearch

_FORWARD, _BACKWARD, _JUDGE = 0, 1, 2  # what an image asks next: q₊, q₋, or the iterate
_PAPERS = {  # of its appendix
    "exploration": {"linf": 1.0, "l2": 0.01},
    "reach": {"linf": 0.1, "l2": 0.01},
    "learning_rate": {"linf": 100.0, "l2": 0.1},
}


class _State(NamedTuple):
    region: Region
    labels: Labels
    current: Images
    prior: Images  # v, a value a tile
    noise: Images  # u of this step
    forward: PerImage  # L at q₊
    turn: Any  # int32 (batch,)
    near: Flags  # whether the probe at q₊ was adversarial
    adversarial: Images  # the last adversarial iterate
    fooled: Flags
    done: Flags


@plugin
class Bandits(ScoreSearch):
    """Ascent along a gradient prior that is learned from pairs of queries."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")
    step_size: float | None = option(
        "length of a step, in the unit of the norm; none: eps / 10",
        default=None,
        gt=0,
        trace="unused",
    )
    tiles: int | None = option(
        "tiles of the prior per side; none: one for two pixels, at most 50", default=None, ge=1
    )
    exploration: float | None = option(
        "δ: size of the noise beside the prior; none: the paper's", default=None, gt=0
    )
    reach: float | None = option("η: L2 length of a probe; none: the paper's", default=None, gt=0)
    learning_rate: float | None = option("rate of the prior; none: the paper's", default=None, gt=0)

    @property
    def threat(self) -> Threat:
        """Score-based, within the ball."""
        return Threat("score", self.norm, self.targeted)

    @derived
    def step_length(self) -> float:
        """Return the length of a step."""
        return self.eps / 10.0 if self.step_size is None else self.step_size

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        fooled = self.ask(classifier, images, labels).fooled
        height, width, channels = classifier.image_shape
        most = [self.tiles or min(50, -(-side // 2)) for side in (height, width)]
        tiles = min(most[0], height), min(most[1], width), channels
        nothing = tf.zeros((tf.shape(images)[0], *tiles))
        zeros = tf.zeros_like(labels, tf.float32)
        state = _State(
            region=ball(self.norm).region(images, self.eps),
            labels=labels,
            current=images,
            prior=nothing,
            noise=nothing,
            forward=zeros,
            turn=tf.zeros_like(labels, tf.int32),
            near=tf.zeros_like(fooled),
            adversarial=images,
            fooled=fooled,
            done=fooled if self.early_stop else tf.zeros_like(fooled),
        )
        shared = run_seed(image_seeds(seed, tf.shape(images)[0]))
        state = iterate(
            lambda state, number: self._step(classifier, state, tf.stack([shared, number])),
            state,
            steps=self.queries - 1,
            early_stop=self.early_stop,
            outcome=("current", "adversarial", "fooled"),
        )
        return blend(state.fooled, state.adversarial, state.current)

    def _step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Ask one question an image, and do what follows from it."""
        drawn = tf.random.stateless_normal((1, *state.prior.shape[1:]), seed)
        drawn *= math.prod(state.prior.shape[1:]) ** -0.5
        first = tf.equal(state.turn, _FORWARD)
        noise = blend(first, tf.broadcast_to(drawn, tf.shape(state.noise)), state.noise)
        judging = tf.equal(state.turn, _JUDGE)
        asked = blend(judging, state.current, self._probe(state, noise, first))
        answer = self.ask(classifier, asked, state.labels)
        fooled = answer.fooled & judging & ~state.done
        learned = self._learned(state._replace(noise=noise), answer)
        second = tf.equal(state.turn, _BACKWARD)
        close = state.near | answer.fooled
        follow = tf.where(second & close, _JUDGE, _FORWARD)
        return learned._replace(
            turn=tf.where(first, _BACKWARD, follow),
            near=first & answer.fooled,
            forward=tf.where(first, answer.loss, state.forward),
            adversarial=blend(fooled, state.current, state.adversarial),
            fooled=state.fooled | fooled,
            done=state.done | fooled if self.early_stop else state.done,
        )

    def _probe(self, state: _State, noise: Images, first: Flags) -> Images:
        """Return x + η q/‖q‖ with q = v ± δ u."""
        sign = tf.where(first, 1.0, -1.0)[:, None, None, None]
        way = _spread(state.prior + sign * self._number("exploration") * noise, state.current)
        return state.current + self._number("reach") * ball("l2").steepest(way)

    def _learned(self, state: _State, answer: Answer) -> _State:
        """Correct the prior and move along it, where both probes are answered."""
        slope = (state.forward - answer.loss) / self._number("reach")
        prior = self._corrected(state.prior, slope[:, None, None, None] * state.noise)
        moved = ball(self.norm).step(
            state.current, _spread(prior, state.current), self.step_length, state.region
        )
        second = tf.equal(state.turn, _BACKWARD)
        return state._replace(
            prior=blend(second, prior, state.prior), current=blend(second, moved, state.current)
        )

    def _corrected(self, prior: Images, gradient: Images) -> Images:
        rate = self._number("learning_rate")
        if self.norm == "l2":
            return prior + rate * gradient
        # (v + 1) / 2 as a probability, moved by exp(± rate · gradient): the same in log odds.
        prior = tf.clip_by_value(prior, -1.0 + 1e-6, 1.0 - 1e-6)
        return tf.tanh(tf.atanh(prior) + rate * gradient)

    def _number(self, name: str) -> float:
        """Return an option, or the paper's value for the norm."""
        given: float | None = getattr(self, name)
        return _PAPERS[name][self.norm] if given is None else given


def _spread(tiles: Images, like: Images) -> Images:
    """Return a value a tile as a value a pixel."""
    return tf.image.resize(tiles, like.shape[1:3], "nearest")
