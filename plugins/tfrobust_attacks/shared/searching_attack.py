"""Attacks that minimise a distance plus c times Carlini & Wagner's hinge, and search for c.

min distance + c · f,  f = max(0, z_y − z_k + κ)

`cw_l2`, `ead` and `zoo` differ in the distance and in how they step; what follows a step is the
same. All three attacks depart from the papers' code in these points:

- A round is a success if one of its last steps (the last tenth) succeeds, not if any step does. A
  small c hardly slows the first steps down: they cross a near boundary and then return for good,
  and the search would settle on a c that is too small to stay there.
- The class k in the hinge of `cw_l2` and `ead` is the nearest one by the slopes at the clean image
  (`tfrobust_attacks.shared.rivals`), not the one with the largest logit.
- Rounds end early per image, not per batch.
"""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.engine.rounding import ROUNDING, size_of
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, Logits, PerImage
from tfrobust_attacks.shared.constant_search import ConstantSearch
from tfrobust_attacks.shared.rivals import logit_worth

_BEYOND = 2.0 * ROUNDING  # as a share of both logits: enough for `clearly_adversarial`
_NEVER = 1e38  # larger than any lead


class Hinge(NamedTuple):
    """The hinge of the objective, computed from an image's logits."""

    value: PerImage  # f
    slope: Logits  # its derivative with respect to the logits
    success: Flags  # adversarial by κ and by more than rounding can undo


class Candidate(NamedTuple):
    """The images that a step has evaluated."""

    images: Images
    score: PerImage  # the distance that decides which image is the best
    objective: PerImage  # distance + c · f
    success: Flags


@plugin
class SearchingAttack(Attack):
    """The common part of the attacks that search for c; each attack has its own state and step.

    A state is a NamedTuple with the fields `clean`, `labels`, `round`, `best`, `best_score`
    (infinite until there is one) and `done`, and the fields that the step needs.
    """

    minimum_norm = True

    eps: float | None = option(
        "budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    binary_search_steps: int = option("rounds of the search for the constant c", default=9, ge=1)
    steps: int = option("maximum number of steps per round", default=1000, ge=1)
    learning_rate: float = option(
        "learning rate of the first step", default=0.01, gt=0, trace="input"
    )
    initial_const: float = option(
        "the constant c in the first round", default=1e-3, gt=0, trace="input"
    )
    confidence: float = option("κ: margin to reach, in logits", default=0.0, ge=0, trace="input")
    abort_early: bool = option("end a round once its objective stops falling", default=True)
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def search(self) -> ConstantSearch:
        """The rules of the search, built from the options."""
        return ConstantSearch(
            self.binary_search_steps, self.steps, self.initial_const, self.abort_early
        )

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        shared = run_seed(image_seeds(seed, tf.shape(images)[0]))
        state: Any = iterate(
            lambda state, number: self.step(classifier, state, tf.stack([shared, number])),
            self.start(classifier, images, labels),
            steps=self.most_steps(classifier),
            outcome=("best_score",),  # `best` changes only with it: `after_step` checks `done`
        )
        return state.best

    @abc.abstractmethod
    def start(self, classifier: Classifier, images: Images, labels: Labels) -> Any:
        """Return the state before the first step."""

    @abc.abstractmethod
    def step(self, classifier: Classifier, state: Any, seed: Any) -> Any:
        """Take one step and return `after_step(…)`; the seed is the same for all images."""

    @abc.abstractmethod
    def restarted(self, state: Any, over: Flags) -> Any:
        """Return the state with the images whose round is over set back to the start."""

    def most_steps(self, classifier: Classifier) -> int:
        """Return the maximum number of steps of the search."""
        return self.binary_search_steps * self.steps

    def after_step(self, before: Any, moved: Any, candidate: Candidate) -> Any:
        """Keep the candidates that are the best so far, and start the next round where one is over.

        Args:
            before: the state before the step.
            moved: the state after it, with the fields that only the step updates.
            candidate: the images that the step has evaluated.
        """
        nearer = candidate.score < before.best_score
        better = candidate.success & nearer & ~before.done
        now, over = self.search.advance(before.round, candidate.objective, candidate.success)
        state = moved._replace(
            round=now,
            best=keep(better, candidate.images, before.best),
            best_score=tf.where(better, candidate.score, before.best_score),
        )
        over &= ~before.done
        return tf.cond(tf.reduce_any(over), lambda: self._next_round(state, over), lambda: state)

    def _next_round(self, state: Any, over: Flags) -> Any:
        """Set the images whose round is over back to the start, with their next c."""
        next_round, finished = self.search.next_round(state.round, over)
        return self.restarted(state, over)._replace(round=next_round, done=state.done | finished)

    def hinge(self, logits: Logits, labels: Labels, worth: Any) -> Hinge:
        """Return f = max(0, z_y − z_k + κ); for a target t, max(0, max_{k≠t} z_k − z_t + κ).

        Args:
            logits: `(batch, classes)`.
            labels: `(batch,)`: the true classes, or the targets.
            worth: `(batch, classes)`: the distance that a logit is worth; k is the nearest class.
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
        """Return the distance that a logit is worth per class, and which images already fool."""
        if self.targeted:
            logits = classifier(images)
            worth = tf.ones_like(logits)
        else:
            norm = self.threat.norm or "l2"
            logits, worth = logit_worth(classifier, images, labels, norm=norm)
        return worth, is_adversarial(logits, labels, targeted=self.targeted)


def keep(flags: Flags, yes: Any, no: Any) -> Any:
    """Return `blend(flags, yes, no)`, without its cost if no row is flagged."""
    return tf.cond(tf.reduce_any(flags), lambda: blend(flags, yes, no), lambda: no)
