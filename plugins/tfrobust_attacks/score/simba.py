"""SimBA: a random walk along orthogonal directions, pixels or cosine waves.

x ← x ± δ q, whichever sign first raises L(x, y), q in random order from an orthonormal basis: the
pixels, or the lowest frequencies of the discrete cosine transform. After T accepted steps the
perturbation is at most δ √T long.

Guo, Gardner, You, Wilson & Weinberger, "Simple black-box adversarial attacks" (2019). Threat:
score-based, L2. The walk stops at the first adversarial image and knows no ball; `eps` is the
budget at which the result is judged.
Departures: the loss is the log odds, which rise exactly where the paper's probability of the label
falls, and do not round to zero for a confident network. When all directions have been tried they
are tried again in the same order. All images share the order; each is at a place of its own in it,
so that a step costs each one query.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import LossName, clearly_adversarial
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, run_seed
from tfrobust.types import Flags, Images, ImageShape, Labels, PerImage
from tfrobust_attacks.shared.scored import ScoreAttack
from tfrobust_attacks.shared.waves import cosine_waves


class _State(NamedTuple):
    labels: Labels
    images: Images
    place: Any  # int32 (batch,): in the order of the directions
    back: Flags  # whether −δ q is next
    loss: PerImage
    found: Flags
    done: Flags


@plugin
class SimpleBlackBox(ScoreAttack):
    """Walk along random pixels or cosine waves, from logits alone."""

    minimum_norm = True

    eps: float | None = option(
        "L2 budget of the evaluation; none: any distance", default=None, ge=0, trace="unused"
    )
    basis: Literal["pixel", "dct"] = option(
        "directions: pixels, or waves of the discrete cosine transform", default="pixel"
    )
    step_size: float = option("δ: length of a step", default=0.2, gt=0, trace="input")
    frequencies: float = option(
        "share of the lowest frequencies of each side, with dct", default=0.5, gt=0, le=1
    )
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="ce")

    @property
    def threat(self) -> Threat:
        """Score-based, L2."""
        return Threat("score", "l2", self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; the clean one where none was found. See `Attack`."""
        loss, fooled = self.ask(classifier, images, labels)
        if self.queries == 1:
            return images
        none = tf.zeros_like(fooled)
        places = tf.zeros_like(labels, tf.int32)
        seeds = image_seeds(seed, tf.shape(images)[0])
        order = self._shuffled(classifier.image_shape, tf.stack([run_seed(seeds), 0]))
        state = iterate(
            lambda state, _: self._step(classifier, state, order),
            _State(labels, images, places, none, loss, none, fooled),
            steps=self.queries - 1,
            outcome=("images", "found"),
        )
        return blend(state.found, state.images, images)

    def _step(self, classifier: Classifier, state: _State, order: Any) -> _State:
        """Try the next direction, or the last one with the opposite sign."""
        length = tf.where(state.back, -self.step_size, self.step_size)[:, None, None, None]
        way = self._directions(classifier.image_shape, tf.gather(order, state.place))
        candidate = tf.clip_by_value(state.images + length * way, 0.0, 1.0)
        logits = classifier(candidate)
        loss = self.judge(logits, state.labels).loss
        found = clearly_adversarial(logits, state.labels, targeted=self.targeted) & ~state.done
        better = found | (loss > state.loss)
        over = better | state.back
        place = tf.where(over, (state.place + 1) % tf.size(order), state.place)
        return state._replace(
            images=blend(better, candidate, state.images),
            place=place,
            back=~over,
            loss=tf.where(better, loss, state.loss),
            found=state.found | found,
            done=state.done | found,
        )

    def _shuffled(self, shape: ImageShape, seed: Any) -> Any:
        """Return the numbers of all directions in a random order, int32."""
        (rows, columns), channels = self._waves(shape), shape[2]
        return tf.argsort(tf.random.stateless_uniform((len(rows) * len(columns) * channels,), seed))

    def _directions(self, shape: ImageShape, numbers: Any) -> Images:
        """Return the directions of these numbers, each of length 1, one an image."""
        (rows, columns), channels = self._waves(shape), shape[2]
        number, channel = numbers // channels, numbers % channels
        row, column = number // len(columns), number % len(columns)
        down, across = tf.gather(rows, row), tf.gather(columns, column)
        plane = down[:, :, None, None] * across[:, None, :, None]
        return plane * tf.one_hot(channel, channels)[:, None, None, :]

    def _waves(self, shape: ImageShape) -> list[np.ndarray]:
        """Return the directions down and across, `(directions, side)` each."""
        if self.basis == "pixel":
            return [np.eye(side, dtype=np.float32) for side in shape[:2]]
        return [cosine_waves(side, self.frequencies) for side in shape[:2]]
