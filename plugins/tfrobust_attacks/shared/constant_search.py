"""The search for the weight c of Carlini & Wagner's hinge: when a round ends, and the next c.

An image's first round has c = `initial_const`. A round that succeeds lowers the upper bound to c,
one that fails raises the lower; the next c is ten times as large until there is an upper bound,
and the mean of both from then on. Each image has its own round and its own step.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfrobust.types import Flags, Labels, PerImage

_UNBOUNDED = 1e10
_PARTS = 10  # of a round; after each part the search checks whether the objective still falls
_EARLIEST = 3  # parts before a round may end: the first steps of Adam overshoot
_FALLING = 0.9999
_SETTLING = 2  # parts that a round takes to settle


class Round(NamedTuple):
    """Where each image is in the search."""

    const: PerImage
    lower: PerImage
    upper: PerImage
    number: PerImage  # of the round
    step: PerImage  # in the round
    checked: PerImage  # the objective at the last check
    hit: Flags  # whether a step succeeded since then


@dataclasses.dataclass(frozen=True)
class ConstantSearch:
    """The rules that end a round and choose the next c.

    Attributes:
        rounds: number of rounds per image.
        steps: maximum number of steps per round.
        initial_const: c of the first round.
        abort_early: end a round whose objective no longer falls.
        settle: run the last fifth of such a round instead of ending it at once, for attacks whose
            steps grow shorter.
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
        """Count a step; return the round and which images' rounds this step ended."""
        part = max(self.steps // _PARTS, 1)
        next_step, over = now.step + 1.0, now.step >= self.steps - 1
        checking = tf.equal(tf.math.floormod(now.step, part), 0.0)
        stalled = checking & (now.step >= _EARLIEST * part) & (objective > _FALLING * now.checked)
        if self.abort_early and self.settle:
            next_step = tf.where(
                stalled, tf.maximum(next_step, self.steps - _SETTLING * part + 1.0), next_step
            )
        elif self.abort_early:
            over |= stalled
        checked = tf.where(checking, objective, now.checked)
        hit = (now.hit & (over | ~checking)) | success
        return now._replace(step=next_step, checked=checked, hit=hit), over

    def next_round(self, now: Round, over: Flags) -> tuple[Round, Flags]:
        """Start the next round where one is over; return it and which images have no round left."""
        upper = tf.where(over & now.hit, tf.minimum(now.upper, now.const), now.upper)
        lower = tf.where(over & ~now.hit, tf.maximum(now.lower, now.const), now.lower)
        const = tf.where(upper < _UNBOUNDED, (lower + upper) / 2.0, now.const * 10.0)
        number = now.number + tf.cast(over, tf.float32)
        next_round = Round(
            const=tf.where(over, const, now.const),
            lower=lower,
            upper=upper,
            number=number,
            step=tf.where(over, 0.0, now.step),
            checked=tf.where(over, float("inf"), now.checked),
            hit=now.hit & ~over,
        )
        return next_round, number >= self.rounds
