"""What a black-box attack has reached by each number of queries, recorded while it runs.

A recording stands between the attack and the classifier. Of every question it keeps, for the image
that it is about, how many questions that image has cost so far, and how far the asked image is if
it is adversarial; of the latter only the least for each step of `GRID`. It changes no answer.

Images are counted as if each were attacked alone: of a question that all images of a batch share,
such as the random pictures from which a search starts, each of them pays all rows.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.asking import NUMBERS, is_shared
from tfrobust.classifiers.traces import Traces
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.learning import Learned
from tfrobust.engine.losses import is_adversarial
from tfrobust.meter import Meter
from tfrobust.norms import L0, ball
from tfrobust.types import Images, Labels, Logits, Norm, PerImage

_STEPS = (10, 15, 20, 30, 50, 70)
GRID = (1, 2, 3, 5, 7, *(step * 10**tens for tens in range(4) for step in _STEPS), 100_000)
_RECORDINGS: Traces[Recording] = Traces(most=64)


@dataclasses.dataclass(frozen=True)
class AskedQueries:
    """What an attack has reached by how many queries.

    Attributes:
        asked: int64 `(n,)`: queries that each image cost.
        least: float32 `(n, numbers)`: the least distance of an adversarial image that was asked by
            each number of `GRID`, in the norm of the attack; infinite where there was none. 0 for
            an attack without a norm.
    """

    asked: np.ndarray
    least: np.ndarray


class _Unpriced:
    """A meter where no answer costs: with one, a trace knows which image a question is about."""

    refused = None


class Recording(Wrapped):
    """A classifier that keeps what it is asked about some images.

    Args:
        inner: answers.
        norm: of the distances; `None`: they are 0.
        targeted: whether the attack wants to reach its labels, or to leave them.
    """

    def __init__(self, inner: Classifier, norm: Norm | None, *, targeted: bool) -> None:
        meter = inner.meter or cast(Meter, _Unpriced())
        super().__init__(inner, meter=meter)
        self._norm, self._targeted = norm, targeted
        self._clean = _variable((0, *self.image_shape), tf.float32)
        self._labels, self._asked = _variable((0,), tf.int64), _variable((0,), tf.int64)
        self._least = _variable((0,), tf.float32)  # (images × bins,)

    def begin(self, images: Images, labels: Labels) -> None:
        """Forget all, and record what is asked about other images, float32 `(n, …)`."""
        self._clean.assign(images)
        self._labels.assign(np.asarray(labels, np.int64))
        self._asked.assign(np.zeros(len(images), np.int64))
        self._least.assign(np.full(len(images) * _BINS, np.inf, np.float32))

    def finish(self) -> AskedQueries:
        """Return what was asked since `begin`, and let go of the images."""
        least = self._least.numpy().reshape(-1, _BINS)[:, : len(GRID)]
        found = AskedQueries(self._asked.numpy(), np.minimum.accumulate(least, axis=1))
        self.begin(np.zeros((0, *self.image_shape), np.float32), np.zeros(0, np.int64))
        return found

    def __call__(self, images: Images) -> Logits:
        """Return the inner classifier's logits, and record."""
        logits = self.inner(images)
        numbers = NUMBERS.now
        if numbers is not None:
            ours = tf.reduce_all(numbers >= 0)  # others are the engine's: see `asking.beside`
            tf.cond(ours, lambda: self._record(numbers, images, logits), lambda: tf.constant(0))
        return logits

    def _record(self, numbers: Any, images: Images, logits: Logits) -> Any:
        rows = tf.shape(logits)[0]

        def charge() -> Any:
            return self._charge(numbers, tf.fill(tf.shape(numbers), tf.cast(rows, tf.int64)))

        if is_shared():
            return charge()
        one_each = tf.equal(tf.size(numbers), rows)
        return tf.cond(one_each, lambda: self._see(numbers, images, logits), charge)

    def _see(self, numbers: Any, images: Images, logits: Logits) -> Any:
        """Record a question of which each row is about one image."""
        order = tf.argsort(numbers, stable=True)
        ordered = tf.gather(numbers, order)
        rank = tf.range(tf.size(order)) - tf.searchsorted(ordered, ordered)
        earlier = tf.scatter_nd(order[:, None], rank, tf.shape(rank))  # rows of the same image
        count = tf.gather(self._asked, numbers) + tf.cast(earlier, tf.int64) + 1
        hit = is_adversarial(logits, tf.gather(self._labels, numbers), targeted=self._targeted)
        apart = tf.where(hit, self._distance(images, numbers), np.inf)
        place = tf.searchsorted(tf.constant(GRID, tf.int64), tf.maximum(count, 1))
        where = numbers * _BINS + place
        with tf.control_dependencies([count]):
            self._least.scatter_min(tf.IndexedSlices(apart, where))
            return self._charge(numbers, tf.ones_like(numbers, tf.int64))

    def _charge(self, numbers: Any, queries: Any) -> Any:
        self._asked.scatter_add(tf.IndexedSlices(queries, numbers))
        return tf.constant(0)

    def _distance(self, images: Images, numbers: Any) -> PerImage:
        if self._norm is None:
            return tf.zeros_like(numbers, tf.float32)
        clean = tf.gather(self._clean, numbers)
        geometry = L0() if self._norm == "l0" else ball(self._norm)
        return geometry.distance(images, clean)


_BINS = len(GRID) + 1  # the last one: later than all of them


def recording_of(attack: Attack, classifier: Classifier) -> Recording | None:
    """Return what records an attack; `None` of one whose questions tell nothing of an image.

    Those are attacks that see gradients or nothing, that were learned, that correct images, and
    several in one; and all attacks on a classifier that draws its answers, or that judges a batch
    as a whole.
    """
    other = attack.corrective or isinstance(attack, (Ensemble, Learned))
    if other or attack.threat.knowledge not in ("score", "decision"):
        return None
    if classifier.stochastic or classifier.batch_dependent:
        return None
    norm, targeted = attack.threat.norm, attack.threat.targeted
    return _RECORDINGS.of(
        classifier,
        (norm, targeted),
        lambda: Recording(classifier, norm, targeted=targeted),
    )


def _variable(shape: tuple[int, ...], dtype: tf.DType) -> tf.Variable:
    """Return an empty variable whose number of rows may change."""
    return tf.Variable(tf.zeros(shape, dtype), trainable=False, shape=(None, *shape[1:]))
