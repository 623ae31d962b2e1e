"""SignHunter: the signs of the gradient, found by divide and conquer.

x̂ = x + ε s, s ∈ {−1, 1}^n: a block of s is flipped, and kept flipped if L(x̂, y) rises. The blocks
are the whole image, then its halves, quarters, … down to single values. Where blocks do not act on
one another, as on a linear classifier, the signs are exact after 2n questions.

Al-Dujaili & O'Reilly, "Sign bits are all you need for black-box attacks" (2020). Threat:
score-based; Linf or L2.
Departures: after single values the flips start again with the whole image and the signs found (the
paper's code starts from new signs). In L2 a value moves by ε/√n, as in the paper, and [0, 1] clips
it. `queries` counts the clean image too, which is returned if it is misclassified.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.norms import Linf, Region
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, PerImage
from tfrobust_attacks.shared.scored import ScoreSearch, before_any


class _State(NamedTuple):
    box: Region  # the lowest and the highest value of each pixel
    labels: Labels
    images: Images  # the best ones, each pixel at an end of its box
    up: Flags  # (batch, height, width, channels): which end
    loss: PerImage
    done: Flags


@plugin
class SignHunter(ScoreSearch):
    """Flip the signs of ever smaller blocks of the perturbation, from logits alone."""

    eps: float = option(
        "radius of the ball, in the unit of the norm", default=0.1, ge=0, trace="input"
    )
    norm: Literal["linf", "l2"] = option("norm of the ball", default="linf")

    @property
    def threat(self) -> Threat:
        """Score-based, within the ball."""
        return Threat("score", self.norm, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        pixels = math.prod(classifier.image_shape)
        reach = self.eps if self.norm == "linf" else self.eps * pixels**-0.5
        clean = self.ask(classifier, images, labels)
        if self.queries == 1:
            return images
        state = _State(
            box=Linf().region(images, reach),
            labels=labels,
            images=images,
            up=tf.zeros_like(images, tf.bool),  # the first flip is of all of them
            loss=before_any(*clean),
            done=clean.fooled,
        )
        blocks = _blocks(pixels)
        flips = tf.constant(blocks)
        return iterate(
            lambda state, number: self._step(classifier, state, flips[number % len(blocks)]),
            state,
            steps=self.queries - 1,
            early_stop=self.early_stop,
            outcome=("loss",),  # a row that is done takes nothing, and so keeps its images
        ).images

    def _step(self, classifier: Classifier, state: _State, block: Any) -> _State:
        """Flip a block, and keep that where it helps."""
        place = tf.range(math.prod(classifier.image_shape))
        inside = tf.reshape((place >= block[0]) & (place < block[1]), (1, *classifier.image_shape))
        up = tf.math.logical_xor(state.up, inside)
        candidate = tf.where(up, state.box[1], state.box[0])
        answer = self.ask(classifier, candidate, state.labels)
        better = self.accepts(answer, state.loss, state.done)
        return state._replace(
            images=blend(better, candidate, state.images),
            up=blend(better, up, state.up),
            loss=tf.where(better, answer.loss, state.loss),
            done=state.done | answer.fooled,
        )


def _blocks(pixels: int) -> np.ndarray:
    """Return first and last + 1 of all blocks, the largest first, int32 `(blocks, 2)`."""
    parts, length = [], pixels
    for level in range(pixels.bit_length() + 1):
        length = -(-pixels // 2**level)
        first = np.arange(0, pixels, length)
        parts.append(np.stack([first, np.minimum(first + length, pixels)], axis=1))
        if length == 1:
            break
    return np.concatenate(parts).astype(np.int32)
