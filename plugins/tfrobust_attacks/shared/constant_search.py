"""Carlini & Wagner's hinge and the search for its weight c; EAD and ZOO search like them.

min distance + c · f,  f = max(0, z_y − z_k + κ)

An image's first round has c = `initial_const`. A round that succeeds lowers the upper bound to c,
one that fails raises the lower; the next c is ten times as large until there is an upper bound,
and the mean of both from then on. Every image is in a round and at a step of its own.

Departures from the papers' code, of all three attacks:

- A round counts as a success if its last steps, a tenth of them, hold one, not any step. A small c
  hardly slows the first steps down: they rush across a near boundary and come back for good, and
  the search would settle on a c too small to stay there.
- The class k that the hinge of `cw_l2` and `ead` follows is, by the slopes at the clean image, the
  nearest one (`tfrobust_attacks.shared.rivals`), not the one with the largest logit.
- Rounds end early for each image alone, not for the batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import is_adversarial
from tfrobust.engine.rounding import ROUNDING, size_of
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage
from tfrobust_attacks.shared.rivals import logit_worth

_UNBOUNDED = 1e10
_BEYOND = 2.0 * ROUNDING  # of both logits: surely adversarial for `clearly_adversarial`
_NEVER = 1e38  # a lead no class has
_PARTS = 10  # of a round; after each it is asked whether the objective still falls
_FALLING = 0.9999
_SETTLING = 2  # parts that a round takes to settle


class Hinge(NamedTuple):
    """What the logits of an image mean to the objective."""

    value: PerImage  # f
    slope: Logits  # its derivative by the logits
    success: Flags  # adversarial by κ, and by more than rounding could undo


class Round(NamedTuple):
    """Where each image stands in the search."""

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


@plugin
class SearchingAttack(Attack):
    """The options that the attacks with such a search share."""

    minimum_norm = True

    eps: float | None = option(
        "budget it is judged at; none: any distance", default=None, ge=0, trace="unused"
    )
    binary_search_steps: int = option("rounds of the search for c", default=9, ge=1)
    steps: int = option("of a round, at most", default=1000, ge=1)
    learning_rate: float = option("of the first step", default=0.01, gt=0, trace="input")
    initial_const: float = option("c of the first round", default=1e-3, gt=0, trace="input")
    confidence: float = option(
        "κ: the margin, in logits, to win by", default=0.0, ge=0, trace="input"
    )
    abort_early: bool = option("end a round whose objective no longer falls", default=True)
    targeted: bool = option("reach a class instead of leaving one", default=False)

    @property
    def search(self) -> ConstantSearch:
        """The rules as these options set them."""
        return ConstantSearch(
            self.binary_search_steps, self.steps, self.initial_const, self.abort_early
        )

    def hinge(self, logits: Logits, labels: Labels, worth: Any) -> Hinge:
        """Return f = max(0, z_y − z_k + κ); for a target t, max(0, max_{k≠t} z_k − z_t + κ).

        Args:
            logits: `(batch, classes)`.
            labels: `(batch,)`: the true classes, or the targets.
            worth: `(batch, classes)`: what distance a logit is worth; k is the nearest class.
        """
        own = tf.one_hot(labels, tf.shape(logits)[1])
        leads = logits - tf.reduce_sum(own * logits, axis=1, keepdims=True)
        rival = tf.one_hot(tf.argmax(leads * worth - _NEVER * own, axis=1), tf.shape(logits)[1])
        slope = rival - own if self.targeted else own - rival
        pair = slope * logits
        rounding = _BEYOND * size_of(tf.reduce_max(pair, axis=1), tf.reduce_min(pair, axis=1))
        short = tf.reduce_sum(pair, axis=1) + rounding + self.confidence
        missed = tf.cast(short > 0, tf.float32)
        return Hinge(missed * short, missed[:, None] * slope, short <= 0)

    def look(self, classifier: Classifier, images: Images, labels: Labels) -> tuple[Any, Flags]:
        """Return what distance a logit is worth for each class, and what is adversarial already."""
        if self.targeted:
            logits = classifier(images)
            worth = tf.ones_like(logits)
        else:
            norm = self.threat.norm or "l2"
            logits, worth = logit_worth(classifier, images, labels, norm=norm)
        return worth, is_adversarial(logits, labels, targeted=self.targeted)


def keep(flags: Flags, yes: Any, no: Any) -> Any:
    """Return `blend(flags, yes, no)`, at no cost where no row is flagged."""
    return tf.cond(tf.reduce_any(flags), lambda: blend(flags, yes, no), lambda: no)
