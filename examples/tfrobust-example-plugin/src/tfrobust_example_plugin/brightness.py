"""Brightness: make the whole image lighter or darker, as little as possible.

min |b| such that the classifier errs on clip(x + b, 0, 1), over b = 0, ±step, ±2·step, …, |b| ≤ ε

A semantic attack: every pixel changes, and a person sees the same scene in other light. Based on
Hosseini & Poovendran, "Semantic adversarial examples" (2018), who shift hue and saturation.
Threat: decision-based, Linf. Departures: brightness instead of colour; the attack tries every
level, the smallest change first, instead of random ones, so it needs no seed and a larger budget
never breaks fewer images.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf
from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels


class _State(NamedTuple):
    clean: Images
    labels: Labels
    result: Images  # the clean image until a level fools the classifier
    done: Flags


@plugin
class Brightness(Attack):
    """Search for the smallest change of brightness that fools the classifier."""

    eps: float = option(
        "largest change of a pixel; pixels run from 0 to 1", default=0.1, ge=0, le=1
    )
    step: float = option(
        "between two levels: one grey level of an 8-bit image", default=1 / 255, gt=0
    )

    @property
    def threat(self) -> Threat:
        """Decision-based, in the Linf ball."""
        return Threat("decision", "linf")

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        state = iterate(
            lambda state, number: self._step(classifier, state, number),
            _State(images, labels, result=images, done=tf.zeros_like(labels, tf.bool)),
            steps=1 + 2 * self._levels(),
        )
        return state.result

    def _step(self, classifier: Classifier, state: _State, number: Any) -> _State:
        """Try one level on every image that is not broken yet."""
        shifted = tf.clip_by_value(state.clean + self._shift(number), 0.0, 1.0)
        fooled = is_adversarial(classifier(shifted), state.labels, targeted=False)
        return state._replace(result=blend(fooled, shifted, state.result), done=fooled)

    def _levels(self) -> int:
        return math.floor(self.eps / self.step + 1e-6)  # 0.3 / 0.1 is 2.9999999999999996

    def _shift(self, number: Any) -> Any:
        """Return 0, +step, −step, +2·step, …, −eps for each `number` from 0 upwards."""
        level = tf.cast((number + 1) // 2, tf.float32)
        sign = tf.cast(2 * (number % 2) - 1, tf.float32)
        return sign * level * self.step
