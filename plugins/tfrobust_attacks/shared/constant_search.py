"""The search for the weight c of Carlini & Wagner's hinge: when a round ends, and which c is next.

An image's first round has c = `initial_const`. A round that succeeds lowers the upper bound to c,
one that fails raises the lower; the next c is ten times as large until there is an upper bound,
and the mean of both from then on. Every image is in a round and at a step of its own.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfrobust.types import Flags, Labels, PerImage

_UNBOUNDED = 1e10
_PARTS = 10  # of a round; after each it is asked whether the objective still falls
_FALLING = 0.9999
_SETTLING = 2  # parts that a round takes to settle


class Round(NamedTuple):
    """Where each image is in the search."""

    const: PerImage
    lower: PerImage
    upper: PerImage
    number: PerImage  # of the round
    step: PerImage  # in the round
    checked: PerImage  # the objective when it was last asked for
    hit: Flags  # whether there was a success since then


@dataclasses.dataclass(frozen=True)
class ConstantSearch:
    """The rules by which rounds end and c moves.

    Attributes:
        rounds: an image's.
        steps: of a round, at most.
        initial_const: c of the first round.
        abort_early: end a round whose objective no longer falls.
        settle: end it with its last fifth instead of at once, for steps that grow shorter.
    """

    rounds: int
    steps: int
    initial_const: float
    abort_early: bool
    settle: bool = False

    def start(self, labels: Labels) -> Round:
        """Return the first round."""
        zeros = tf.zeros_like(labels, tf.float32)
        return Round(
            const=zeros + self.initial_const,
            lower=zeros,
            upper=zeros + _UNBOUNDED,
            number=zeros,
            step=zeros,
            checked=zeros + float("inf"),
            hit=tf.zeros_like(labels, tf.bool),
        )

    def advance(self, now: Round, objective: PerImage, success: Flags) -> tuple[Round, Flags]:
        """Count a step; return also which rounds it ended."""
        part = max(self.steps // _PARTS, 1)
        following, over = now.step + 1.0, now.step >= self.steps - 1
        look = tf.equal(tf.math.floormod(now.step, part), 0.0)
        stalled = look & (objective > _FALLING * now.checked)
        if self.abort_early and self.settle:
            following = tf.where(
                stalled, tf.maximum(following, self.steps - _SETTLING * part + 1.0), following
            )
        elif self.abort_early:
            over |= stalled
        checked = tf.where(look, objective, now.checked)
        hit = (now.hit & (over | ~look)) | success
        return now._replace(step=following, checked=checked, hit=hit), over

    def following(self, now: Round, over: Flags) -> tuple[Round, Flags]:
        """Start the next round where one is over; return also which images have had their last."""
        upper = tf.where(over & now.hit, tf.minimum(now.upper, now.const), now.upper)
        lower = tf.where(over & ~now.hit, tf.maximum(now.lower, now.const), now.lower)
        const = tf.where(upper < _UNBOUNDED, (lower + upper) / 2.0, now.const * 10.0)
        number = now.number + tf.cast(over, tf.float32)
        following = Round(
            const=tf.where(over, const, now.const),
            lower=lower,
            upper=upper,
            number=number,
            step=tf.where(over, 0.0, now.step),
            checked=tf.where(over, float("inf"), now.checked),
            hit=now.hit & ~over,
        )
        return following, number >= self.rounds
