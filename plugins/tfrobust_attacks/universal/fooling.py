"""Fooling images: unrecognisable images that are classified with near certainty.

From uniform noise x, independent of the clean image, until p_t(x) ≥ `confidence`:
`gradient`: x ← clip(x + α √n · g / ‖g‖₂, 0, 1), g = ∇ log o_t(x), o_t the odds of the target t;
`evolution`: x ← x̃ if p_t(x̃) > p_t(x), x̃ a mutant of x: each pixel with a probability of 10 %,
halved every 1,000 generations, by polynomial mutation of index 15 (the paper's direct encoding).

Nguyen, Yosinski & Clune, "Deep neural networks are easily fooled: high confidence predictions for
unrecognizable images" (2015). Threat: white-box, or score-based; bounded in no norm, because the
result does not contain the clean image.
Departures: ascent starts at noise, where the paper starts at the mean image, and all steps have the
same length. Evolution keeps one image per target; in the paper the best image of another class may
replace it, which would make the images of a batch depend on each other. All images of a generation
share its random numbers, and on average at least one value changes. Without targets, an image's
target is the class that the classifier finds likeliest for its noise, except its label. Where the
odds have not risen for long, an image restarts from new noise; without targets, its new target is
the likeliest class not yet tried. For an image that does not reach the confidence, the clean image
is returned, and it counts as not broken.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import tensorflow as tf

from tfrobust import random
from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.gradients import pulled_back
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import log_odds, loss_and_slope, without_label
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage

_RATE, _HALVING = 0.1, 1_000  # of mutation; generations after which it halves
_INDEX = 15.0  # of polynomial mutation: the larger, the smaller the changes
_STEPS = {"gradient": 1_000, "evolution": 10_000}
_PATIENCE = {"gradient": 20, "evolution": 200}  # steps without a gain before a restart
_GAIN = 0.01  # of the log odds
_WORST = -1e9  # a logit worse than any other
_TINY = 1e-30


class _State(NamedTuple):
    targets: Labels
    untried: Logits  # 0 for a class that may still become the target, −∞ for others
    current: Images
    logits: Logits
    age: Any  # steps since the image was noise, int32 (batch,)
    best: PerImage  # log odds of the target when they last gained
    waited: Any  # steps since then, int32 (batch,)
    done: Flags


@plugin
class Fooling(Attack):
    """Noise that is classified with near certainty."""

    ignores_input: ClassVar[bool] = True

    method: Literal["gradient", "evolution"] = option(
        "search by gradient ascent or by evolution", default="gradient"
    )
    confidence: float = option("probability to reach", default=0.99, gt=0, lt=1, trace="input")
    steps: int | None = option(
        "maximum steps or generations; none: 1,000 or 10,000", default=None, ge=1
    )
    step_size: float = option(
        "α: step size of `gradient`: root mean square over pixels",
        default=0.03,
        gt=0,
        le=1,
        trace="input",
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=True)
    samples: int = option("gradients to average if the classifier is stochastic", default=20, ge=1)

    @property
    def threat(self) -> Threat:
        """White-box, or score-based; in no norm."""
        knowledge = "white-box" if self.method == "gradient" else "score"
        return Threat(knowledge, None, self.targeted)  # type: ignore[arg-type]

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return fooling images, and the clean image where the confidence is not reached.

        See `Attack`.
        """
        seeds = random.image_seeds(seed, tf.shape(images)[0])
        shared = random.run_seed(seeds)
        state = iterate(
            lambda state, number: self._step(classifier, state, tf.stack([shared, number])),
            self._start(classifier, random.uniform(seeds, tf.shape(images)[1:]), labels),
            steps=self.steps or _STEPS[self.method],
            outcome=("current",),
        )
        # The last step has not been evaluated yet.
        last = -log_odds(classifier(state.current), state.targets)
        return blend(state.done | self._sure(last), state.current, images)

    def _start(self, classifier: Classifier, noise: Images, labels: Labels) -> _State:
        logits = classifier(noise)
        no_other = tf.fill(tf.shape(logits), -float("inf"))
        first = (labels, no_other) if self.targeted else _next_target(without_label(logits, labels))
        best = -log_odds(logits, first[0])
        zero = tf.zeros_like(labels, tf.int32)
        return _State(*first, noise, logits, zero, best, zero, self._sure(best))

    def _step(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        climb = self._ascended if self.method == "gradient" else self._evolved
        return self._renewed(climb(classifier, state, seed), seed)

    def _ascended(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Evaluate the current images, and move them one step up."""
        images = state.current
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = classifier(images)
        score, slope = loss_and_slope(logits, state.targets, targeted=True)
        way = pulled_back(tape, logits, images, slope)
        square = tf.reduce_mean(tf.square(way), (1, 2, 3), keepdims=True)
        moved = images + self.step_size * way / tf.sqrt(tf.maximum(square, _TINY))
        sure = self._sure(score)
        current = blend(sure, images, tf.clip_by_value(moved, 0.0, 1.0))
        return state._replace(current=current, logits=logits, done=sure)

    def _evolved(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Replace each image by its mutant where the mutant is better."""
        mutants = _mutated(state.current, state.age, seed)
        logits = classifier(mutants)
        score = -log_odds(logits, state.targets)
        before = -log_odds(state.logits, state.targets)
        better = score > before
        return state._replace(
            current=blend(better, mutants, state.current),
            logits=blend(better, logits, state.logits),
            done=self._sure(tf.maximum(score, before)),
        )

    def _renewed(self, state: _State, seed: Any) -> _State:
        """Restart the images whose target has not gained for long, from new noise."""
        score = -log_odds(state.logits, state.targets)
        gained = score > state.best + _GAIN
        waited = tf.where(gained, 0, state.waited + 1)
        stuck = (waited >= _PATIENCE[self.method]) & ~state.done
        further = stuck & tf.reduce_any(state.untried == 0.0, axis=1)
        targets, untried = _next_target(state.logits + state.untried)
        targets = tf.where(further, targets, state.targets)
        shape = tf.shape(state.current)
        noise = tf.broadcast_to(tf.random.stateless_uniform(shape[1:], seed), shape)
        worst = _WORST * tf.one_hot(targets, tf.shape(state.logits)[1])
        return state._replace(
            targets=targets,
            untried=blend(further, untried, state.untried),
            current=blend(stuck, noise, state.current),
            logits=blend(stuck, worst, state.logits),
            age=tf.where(stuck, 0, state.age + 1),
            best=tf.where(stuck, -float("inf"), tf.where(gained, score, state.best)),
            waited=tf.where(stuck, 0, waited),
        )

    def _sure(self, score: Any) -> Flags:
        return tf.sigmoid(score) >= self.confidence


def _next_target(logits: Logits) -> tuple[Labels, Logits]:
    """Return the likeliest class, and 0 for the classes left to try: −∞ for it and those tried."""
    targets = tf.argmax(logits, axis=1)
    left = tf.where(tf.math.is_inf(logits), logits, 0.0)
    return targets, without_label(left, targets)


def _mutated(images: Images, age: Any, seed: Any) -> Images:
    """Return mutants: in images of the same age, the same values change by the same amounts."""
    shape = tf.shape(images)[1:]
    least = 1.0 / tf.cast(tf.reduce_prod(shape), tf.float32)
    rate = tf.maximum(_RATE * 0.5 ** tf.cast(age // _HALVING, tf.float32), least)
    chosen, drawn = tf.unstack(tf.random.stateless_uniform(tf.concat([[2], shape], 0), seed))
    power = 1.0 / (_INDEX + 1.0)
    below, above = (2.0 * drawn) ** power - 1.0, 1.0 - (2.0 * (1.0 - drawn)) ** power
    change = tf.where(drawn < 0.5, below, above)
    return tf.clip_by_value(
        images + tf.where(chosen < rate[:, None, None, None], change, 0.0), 0.0, 1.0
    )
