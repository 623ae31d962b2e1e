"""Fooling images: they look like nothing, and are classified with near certainty.

From uniform noise x, whatever the image shows, until p_t(x) ≥ `confidence`:
`gradient`: x ← clip(x + α √n · g / ‖g‖₂, 0, 1), g = ∇ log o_t(x), o_t the odds of the target t;
`evolution`: x ← x̃ if p_t(x̃) > p_t(x), x̃ a mutant of x: each pixel with a probability of 10 %,
halved every 1,000 generations, by polynomial mutation of index 15 (the paper's direct encoding).

Nguyen, Yosinski & Clune, "Deep neural networks are easily fooled: high confidence predictions for
unrecognizable images" (2015). Threat: white-box, or score-based; in no norm, for nothing of the
image remains.
Departures: ascent begins at noise, where the paper begins at the mean image, and its steps are of
one length. Evolution keeps one image a target; the paper's champions of other classes may take
over, which would tie the images of a batch to each other. All images of a generation share its
random numbers. Without targets, an image goes to the class that its noise looks most like, its own
left out.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf

from tfrobust import random
from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.loop import blend, iterate
from tfrobust.losses import log_odds, loss_and_slope, pulled_back, without_label
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage

_RATE, _HALVING = 0.1, 1000.0  # of mutation; generations after which it halves
_INDEX = 15.0  # of polynomial mutation: the larger, the smaller the changes
_TINY = 1e-30


class _State(NamedTuple):
    targets: Labels
    current: Images
    score: PerImage  # log odds of the target
    done: Flags


@plugin
class Fooling(Attack):
    """Noise that is classified with near certainty."""

    method: Literal["gradient", "evolution"] = option(
        "how the images are found", default="gradient"
    )
    confidence: float = option("probability to reach", default=0.99, gt=0, lt=1)
    steps: int = option("of ascent, or generations, at most", default=1000, ge=1)
    step_size: float = option(
        "α: root mean square of a pixel's change; of `gradient`", default=0.01, gt=0, le=1
    )
    targeted: bool = option("reach a class instead of leaving one", default=True)
    samples: int = option("gradients averaged, if the classifier is stochastic", default=20, ge=1)

    @property
    def threat(self) -> Threat:
        """White-box, or score-based; in no norm."""
        knowledge = "white-box" if self.method == "gradient" else "score"
        return Threat(knowledge, None, self.targeted)  # type: ignore[arg-type]

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return images of their own making; those of the last step where none is sure enough.

        See `Attack`.
        """
        seeds = random.image_seeds(seed, tf.shape(images)[0])
        shared = random.run_seed(seeds)
        noise = random.uniform(seeds, tf.shape(images)[1:])
        logits = classifier(noise)
        targets = labels if self.targeted else tf.argmax(without_label(logits, labels), 1)
        score = -log_odds(logits, targets)
        state = _State(targets, noise, score, self._sure(score))
        return iterate(
            lambda state, number: self._step(classifier, state, tf.stack([shared, number])),
            state,
            steps=self.steps,
            outcome=("current",),
        ).current

    def _step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        climb = self._ascended if self.method == "gradient" else self._evolved
        return climb(classifier, state, seed)

    def _ascended(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Judge the current images, and move them one step up."""
        images = state.current
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = classifier(images)
        score, slope = loss_and_slope(logits, state.targets, targeted=True)
        way = pulled_back(tape, logits, images, slope)
        square = tf.reduce_mean(tf.square(way), (1, 2, 3), keepdims=True)
        moved = images + self.step_size * way / tf.sqrt(tf.maximum(square, _TINY))
        sure = self._sure(score)
        return state._replace(
            current=blend(sure, images, tf.clip_by_value(moved, 0.0, 1.0)), score=score, done=sure
        )

    def _evolved(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Let a mutant take the place of each image that it outdoes."""
        mutants = _mutated(state.current, seed)
        score = -log_odds(classifier(mutants), state.targets)
        better = score > state.score
        score = tf.where(better, score, state.score)
        return state._replace(
            current=blend(better, mutants, state.current), score=score, done=self._sure(score)
        )

    def _sure(self, score: PerImage) -> Flags:
        return tf.sigmoid(score) >= self.confidence


def _mutated(images: Images, seed: Any) -> Images:
    """Return the images with some pixels changed, the same of all; `seed` ends in its number."""
    shape = tf.shape(images)[1:]
    rate = _RATE * 0.5 ** tf.floor(tf.cast(seed[1], tf.float32) / _HALVING)
    chosen, drawn = tf.unstack(tf.random.stateless_uniform(tf.concat([[2], shape], 0), seed))
    power = 1.0 / (_INDEX + 1.0)
    below, above = (2.0 * drawn) ** power - 1.0, 1.0 - (2.0 * (1.0 - drawn)) ** power
    change = tf.where(drawn < 0.5, below, above) * tf.cast(chosen < rate, tf.float32)
    return tf.clip_by_value(images + change, 0.0, 1.0)
