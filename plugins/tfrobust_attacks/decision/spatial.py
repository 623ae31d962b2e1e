"""Spatial: rotations and translations, the smallest first.

x′(u, v) = x(R(−θ) (u − δu, v − δv)), black outside; |θ| and |δ| bounded

Engstrom, Tran, Tsipras, Schmidt & Madry, "Exploring the landscape of spatial robustness" (2019).
Threat: decision-based, bounded in no norm.
Departures: the paper's worst-of-k keeps the try with the highest loss, which a decision-based
attacker does not see. Here the search ends at the smallest transformation that fools: the same
images are misclassified. The clean image is the first try of either search. With `queries`, a grid
that has more points is thinned by two angles or two shifts at a time, angles first: it reaches as
far, and an odd number of either still has 0 among them.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend, iterate
from tfrobust.engine.losses import is_adversarial
from tfrobust.options import option, plugin
from tfrobust.random import image_seeds, uniform
from tfrobust.types import Flags, Images, Labels, Seeds

_DEGREE = np.pi / 180.0


class _State(NamedTuple):
    clean: Images
    labels: Labels
    shares: Any  # (batch, tries, 3): of the largest rotation, shift down and shift right
    result: Images
    done: Flags


@plugin
class Spatial(Attack):
    """The smallest of the tried rotations and translations that changes the class."""

    search: Literal["grid", "random"] = option(
        "transformations to try: grid or random", default="grid"
    )
    max_rotation: float = option(
        "largest rotation in either direction, in degrees", default=30.0, ge=0, le=180
    )
    max_translation: float = option(
        "largest shift, as a share of height and width", default=0.1, ge=0, le=1
    )
    rotations: int = option("number of angles in the grid", default=31, ge=1)
    translations: int = option("number of shifts in the grid, in each direction", default=5, ge=1)
    worst_of: int = option("k: number of transformations in the random search", default=10, ge=1)
    queries: int | None = option(
        "hard limit of queries per image; none: no limit", default=None, ge=1
    )
    interpolation: Literal["bilinear", "nearest"] = option(
        "interpolation between pixels", default="bilinear"
    )
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    @property
    def threat(self) -> Threat:
        """Decision-based, bounded in no norm."""
        return Threat("decision", None, self.targeted)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return transformed images; the clean one where none fools. See `Attack`."""
        seeds = image_seeds(seed, tf.shape(images)[0])
        shares = self._grid(seeds) if self.search == "grid" else self._drawn(seeds)
        state = iterate(
            lambda state, number: self._try(classifier, state, number),
            _State(images, labels, shares, images, tf.zeros_like(labels, tf.bool)),
            steps=shares.shape[1],
            outcome=("result",),
        )
        return state.result

    def _grid(self, seeds: Seeds) -> Any:
        angles, shifts = map(_spread, self._sizes())
        grid = np.stack(np.meshgrid(angles, shifts, shifts, indexing="ij"), -1).reshape(-1, 3)
        size = np.square(grid).sum(1)
        order = np.argsort(size, kind="stable")
        moved = grid[order[size[order] > 0]]
        tries = np.concatenate([np.zeros((1, 3)), moved]).astype(np.float32)
        return tf.tile(tries[None], [tf.shape(seeds)[0], 1, 1])

    def _sizes(self) -> tuple[int, int]:
        """Return the numbers of angles and of shifts a direction: the finest affordable grid."""
        rotations, translations = self.rotations, self.translations
        room = math.inf if self.queries is None else self.queries - 1
        while rotations * translations**2 > room and max(rotations, translations) > 1:
            if rotations >= translations:  # by two: an odd number of angles has 0 among them
                rotations = max(1, rotations - 2)
            else:
                translations = max(1, translations - 2)
        return rotations, translations

    def _drawn(self, seeds: Seeds) -> Any:
        count = self.worst_of if self.queries is None else min(self.worst_of, self.queries - 1)
        drawn = uniform(seeds, (count, 3), -1.0, 1.0)
        order = tf.argsort(tf.reduce_sum(tf.square(drawn), 2), stable=True)
        drawn = tf.gather(drawn, order, batch_dims=1)
        return tf.pad(drawn, [[0, 0], [1, 0], [0, 0]])

    def _try(self, classifier: Classifier, state: _State, number: Any) -> _State:
        tried = self._transformed(state.clean, state.shares[:, number])
        hit = is_adversarial(classifier(tried), state.labels, targeted=self.targeted)
        result = blend(hit & ~state.done, tried, state.result)
        return state._replace(result=result, done=state.done | hit)

    def _transformed(self, images: Images, shares: Any) -> Images:
        """Rotate around the centre, then shift."""
        height, width, _ = images.shape[1:]
        angle = shares[:, 0] * self.max_rotation * _DEGREE
        cosine, sine = tf.cos(angle), tf.sin(angle)
        middle = (height - 1) / 2.0, (width - 1) / 2.0
        down = middle[0] + shares[:, 1] * self.max_translation * height
        right = middle[1] + shares[:, 2] * self.max_translation * width
        zero = tf.zeros_like(angle)
        # The source of each pixel: (x, y) → (a x + b y + c, d x + e y + f).
        rows = [
            [cosine, sine, middle[1] - cosine * right - sine * down],
            [-sine, cosine, middle[0] + sine * right - cosine * down],
            [zero, zero],
        ]
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([entry for row in rows for entry in row], 1),
            output_shape=[height, width],
            fill_value=0.0,
            interpolation=self.interpolation.upper(),
        )
        return tf.clip_by_value(moved, 0.0, 1.0)


def _spread(count: int) -> Any:
    """Return `count` evenly spaced numbers from −1 to 1; 0 if it is one number."""
    return np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
