"""RayS: a search over directions of signs, whose radius shrinks with every better direction.

min over d ∈ {−1, 1}^n of r(d) = min {r : x + r d is adversarial}: blocks of d are flipped, halves
of the image first, then quarters, and so on. A flip is tried at the best radius so far with one
query; only if that is adversarial, its radius is bisected and the flip is kept.

Chen & Gu, "RayS: a ray searching method for hard-label adversarial attack" (2020). Threat:
decision-based, minimum Linf norm; untargeted, as in the paper.
Departures: a flip is tried `tolerance` below the best radius, so that what does not shorten the
radius costs one query and no search. A better radius is looked for in strides that double from
there, and then bisected: most flips gain little, and bisecting from zero would cost ten queries.
`tolerance` is a share of the radius, where the paper has 0.001 of a pixel. Blocks are runs of rows
with all channels (the paper's code takes channel by channel). After blocks of one value the search
starts again with the whole image. `x + r d` is clipped to [0, 1], as in the paper's code. Every
image is at a place of its own in the search, so that a step costs each one query. For the last
three queries see `starting_points.settled`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.starting_points import SETTLING, Oracle, settled


class _State(NamedTuple):
    clean: Images
    labels: Labels
    signs: Images  # d of the least radius
    radius: PerImage  # infinity where no direction was adversarial
    level: Any  # int32 (batch,): there are 2^level blocks
    block: Any  # int32 (batch,): which of them is flipped
    low: PerImage  # of the search for the radius: not adversarial; 0 as long as none is known
    high: PerImage  # adversarial; infinity where nothing is searched
    stride: PerImage  # from high to the next radius, until low is known
    done: Flags


@plugin
class Rays(Attack):
    """Search the nearest image along rays of signs, from the predicted class alone."""

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    queries: int = option("hard limit of forward passes per image", default=5000, ge=1)
    tolerance: float = option(
        "precision of a radius, as a share of it", default=1e-3, gt=0, lt=1, trace="input"
    )

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum Linf norm."""
        return Threat("decision", "linf")

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no ray fools. See `Attack`."""
        steps = self.queries - 1 - SETTLING
        if steps < 1:
            return images
        oracle = Oracle(classifier, labels, targeted=False)
        zeros, places = tf.zeros_like(labels, tf.float32), tf.zeros_like(labels, tf.int32)
        none = zeros + float("inf")
        state = _State(
            clean=images,
            labels=labels,
            signs=tf.ones_like(images),
            radius=none,
            level=places,
            block=places - 1,  # the start: nothing is flipped
            low=zeros,
            high=none,
            stride=zeros,
            done=oracle.fooled(images),
        )
        state = iterate(
            lambda state, _: self._step(oracle._replace(labels=state.labels), state),
            state,
            steps=steps,
            outcome=("signs", "radius"),
        )
        found = state.radius < float("inf")
        nearest = _along(images, state.signs, tf.where(found, state.radius, 0.0))
        return blend(found, settled(oracle, images, nearest), images)

    def _step(self, oracle: Oracle, state: _State) -> _State:
        """Ask whether a flip is better, or where on its ray the class changes."""
        searching, known = state.high < float("inf"), state.low > 0
        shorter = tf.maximum(state.high - state.stride, 0.5 * state.high)
        asked = tf.where(known, 0.5 * (state.low + state.high), shorter)
        first = tf.minimum((1.0 - self.tolerance) * state.radius, 1.0)
        asked = tf.where(searching, asked, first)
        signs = state.signs * _flip(state)
        hit = oracle.fooled(_along(state.clean, signs, asked))
        low = tf.where(searching & ~hit, asked, state.low)
        high = tf.where(hit, asked, state.high)
        precise = self.tolerance * high
        over = tf.where(hit | searching, high - low <= precise, True)
        better = over & (high < state.radius) & ~state.done
        level, block = _next_block(state, tf.size(state.clean[0]))
        return state._replace(
            signs=blend(better, signs, state.signs),
            radius=tf.where(better, high, state.radius),
            level=tf.where(over, level, state.level),
            block=tf.where(over, block, state.block),
            low=tf.where(over, 0.0, low),
            high=tf.where(over, float("inf"), high),
            stride=2.0 * tf.where(searching, state.stride, 0.5 * precise),
        )


def _along(clean: Images, signs: Images, radius: PerImage) -> Images:
    return tf.clip_by_value(clean + radius[:, None, None, None] * signs, 0.0, 1.0)


def _flip(state: _State) -> Images:
    """Return −1 in each image's block and 1 elsewhere."""
    shape = state.clean.shape[1:]
    pixels = math.prod(shape)
    length = _block_length(state.level, pixels)
    first = (state.block * length)[:, None]
    place = tf.range(pixels)[None]
    inside = (place >= first) & (place < first + length[:, None]) & (state.block >= 0)[:, None]
    return tf.reshape(tf.where(inside, -1.0, 1.0), (-1, *shape))


def _next_block(state: _State, pixels: Any) -> tuple[Any, Any]:
    """Return level and number of the block that is flipped next."""
    length = _block_length(state.level, pixels)
    block = state.block + 1
    last = block * length >= pixels
    level = tf.where(last, state.level + 1, state.level)
    level = tf.where(last & (length == 1), 0, level)
    return level, tf.where(last, 0, block)


def _block_length(level: Any, pixels: Any) -> Any:
    blocks = tf.bitwise.left_shift(tf.ones_like(level), level)
    return -(-pixels // blocks)
