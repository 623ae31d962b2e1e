"""The pointwise attack: remove noise, pixel by pixel, while the image stays adversarial.

min ‖x̃ − x‖_0, greedily: x̃ ← x̃ with x̃_i = x_i, wherever that is still adversarial; i at random

Schott, Rauber, Bethge & Brendel, "Towards the first adversarially robust neural network model on
MNIST" (2019). Threat: decision-based, minimum L0 norm.
No single remaining pixel can be removed; the set may still not be the smallest, so the best of
several starts is kept, as in the paper. With `refine` every remaining pixel is moved back as far as
possible, which lowers L1 and L2 and keeps L0.
Departures: a pixel is reset with all its channels. The salt-and-pepper start is the sparsest of
`start_steps` tries (`salt_and_pepper`). A success does not end the pass over the pixels; passes are
repeated until one resets no pixel. `refine` makes one pass: the first pixel it moves brings the
image to the boundary, and a second pass has nothing left to move. With `queries`, a first start
takes half of them at most, `refine` has a quarter, and there are as many starts as the rest has
room for; the last pass may end before its last pixel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import L0
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds, run_seed
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.decision.salt_and_pepper import BEFORE, least_noise
from tfrobust_attacks.decision.starting_points import SETTLING, Oracle, settled

_HALVINGS = 10  # of a pixel's change, in `refine`
_UNLIMITED = 2**30  # queries, where there is no limit
_PASSES = 1  # added to the seed of a start for the order of its pixels: other draws


class _Best(NamedTuple):
    clean: Images
    labels: Labels
    image: Images
    distance: PerImage  # infinity where nothing was found
    left: Any  # (batch,): queries
    done: Flags


class _State(NamedTuple):
    clean: Images
    labels: Labels
    current: Images  # adversarial
    turn: Any  # (batch, pixels): the pixel with the largest value is next; 0: nothing to try
    improved: Flags  # this pass reset a pixel
    left: Any  # (batch,): queries
    done: Flags


@plugin
class Pointwise(Attack):
    """The fewest pixels of salt-and-pepper noise that still change the class."""

    minimum_norm = True

    eps: float | None = option(
        "L0 budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    restarts: int = option("number of starts; the best result is kept", default=10, ge=1)
    start_steps: int = option("noisy images to try for a start", default=50, ge=1)
    queries: int | None = option(
        "hard limit of queries per image; none: no limit", default=None, ge=1
    )
    refine: bool = option("also reduce L1 and L2 over the same pixels", default=False)
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """Decision-based, minimum L0 norm."""
        return Threat("decision", "l0", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where no noise fools. See `Attack`."""
        limit = _UNLIMITED if self.queries is None else self.queries - SETTLING
        if limit < BEFORE + 1:
            return images
        set_aside = limit // 4 if self.refine else 0
        shared = tf.stack([run_seed(image_seeds(seed, tf.shape(images)[0])), 0])
        best = iterate(
            lambda best, number: self._restart(classifier, best, fold(shared, number)[0]),
            _Best(
                clean=images,
                labels=labels,
                image=images,
                distance=tf.fill(tf.shape(labels), float("inf")),
                left=tf.fill(tf.shape(labels), limit - set_aside),
                done=tf.zeros_like(labels, tf.bool),
            ),
            steps=self.restarts,
        )
        image = best.image
        if self.refine:
            best = best._replace(left=best.left + set_aside)
            image = self._refined(classifier, best, fold(shared, -1)[0])
        return settled(Oracle(classifier, labels, self.targeted), images, image)

    @property
    def _tries(self) -> int:
        """Noisy images to try for a start: with a budget, half of it at most."""
        if self.queries is None:
            return self.start_steps
        return min(self.start_steps, max((self.queries - SETTLING) // 2 - BEFORE, 1))

    def _restart(self, classifier: Classifier, best: _Best, seed: Any) -> _Best:
        """Remove the noise of another start; keep the result if it has fewer pixels."""
        oracle = Oracle(classifier, best.labels, self.targeted)
        start, found = least_noise(oracle, best.clean, seed, steps=self._tries, alike=True)
        left = best.left - (BEFORE + self._tries)
        seed += _PASSES
        state = _State(
            clean=best.clean,
            labels=best.labels,
            current=start,
            turn=_shuffled(start, best.clean, tf.stack([seed, -1])),
            improved=tf.zeros_like(found),
            left=left,
            done=~found | (left < 1),
        )
        state = iterate(
            lambda state, number: self._take_back(classifier, state, tf.stack([seed, number])),
            state,
            steps=state.turn.shape[1] ** 2,  # every pass but the last resets a pixel
        )
        distance = tf.where(found, L0().distance(state.current, best.clean), float("inf"))
        nearer = distance < best.distance
        return best._replace(
            image=blend(nearer, state.current, best.image),
            distance=tf.where(nearer, distance, best.distance),
            left=state.left,
            done=best.done | (state.left < BEFORE + self._tries),
        )

    def _take_back(self, classifier: Classifier, state: _State, seed: Any) -> _State:
        """Try the next pixel at its clean value; after the last one, start another pass."""
        pixel, turn = _next(state)
        tried = pixel * state.clean + (1.0 - pixel) * state.current
        hit = Oracle(classifier, state.labels, self.targeted).fooled(tried)
        current, improved = blend(hit, tried, state.current), state.improved | hit
        over, left = tf.reduce_max(turn, axis=1) == 0, state.left - 1
        return state._replace(
            current=current,
            turn=blend(over, _shuffled(current, state.clean, seed), turn),
            improved=improved & ~over,
            left=left,
            done=state.done | (over & ~improved) | (left < 1),
        )

    def _refined(self, classifier: Classifier, best: _Best, seed: Any) -> Images:
        """Return the images after one pass that moves every pixel towards its clean value."""
        turn = _shuffled(best.image, best.clean, tf.stack([seed, 0]))
        state = _State(
            clean=best.clean,
            labels=best.labels,
            current=best.image,
            turn=turn,
            improved=tf.zeros_like(best.done),
            left=best.left,
            done=(tf.reduce_max(turn, axis=1) == 0) | (best.left < _HALVINGS),
        )
        state = iterate(
            lambda state, _: self._move_back(classifier, state), state, steps=turn.shape[1]
        )
        return state.current

    def _move_back(self, classifier: Classifier, state: _State) -> _State:
        """Bisect the next pixel between its clean and its current value."""
        pixel, turn = _next(state)
        oracle = Oracle(classifier, state.labels, self.targeted)

        def at(share: PerImage) -> Images:
            moved = state.clean + share[:, None, None, None] * (state.current - state.clean)
            return pixel * moved + (1.0 - pixel) * state.current

        def halve(number: Any, low: PerImage, high: PerImage) -> Any:
            middle = 0.5 * (low + high)
            hit = oracle.fooled(at(middle))
            return number + 1, tf.where(hit, low, middle), tf.where(hit, middle, high)

        zeros = tf.zeros_like(state.labels, tf.float32)
        high = tf.while_loop(
            lambda number, *_: number < _HALVINGS,
            halve,
            (0, zeros, zeros + 1.0),
            parallel_iterations=1,
        )[2]
        left = state.left - _HALVINGS
        done = state.done | (tf.reduce_max(turn, axis=1) == 0) | (left < _HALVINGS)
        return state._replace(current=at(high), turn=turn, left=left, done=done)


def _next(state: _State) -> tuple[Images, Any]:
    """Return a mask of the pixel whose turn it is, and the turns without it."""
    turn = state.turn
    pixel = tf.one_hot(tf.argmax(turn, axis=1), turn.shape[1])
    shape = (-1, *state.clean.shape[1:3], 1)
    return tf.reshape(pixel, shape), (1.0 - pixel) * turn


def _shuffled(images: Images, clean: Images, seed: Any) -> Any:
    """Return turns, `(batch, pixels)`: random, from 1 to 2, for changed pixels; else 0."""
    height, width = clean.shape[1:3]
    changed = tf.cast(tf.reduce_any(images != clean, axis=3), tf.float32)
    order = tf.random.stateless_uniform((1, height * width), seed, 1.0, 2.0)
    return tf.reshape(changed, (-1, height * width)) * order
