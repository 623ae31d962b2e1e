"""The gradient floor: what an attack's own gradients and forward passes cost bare.

The floor is as many gradients and forward passes an image as the engine counted for the attack, of
the same classifier on the same batches, in one `tf.while_loop` of one `tf.function`, the iterate
moved just enough that nothing can be reused. A gradient is that of the label's logit.
(Cross-entropy would make the floor slower: where a confident network's gradient nearly vanishes,
the numbers become denormal.) Where an attack takes several gradients from one forward pass, one a
class, so does the floor.

Floor and attacks run by turns in random order, so that a busy machine disturbs all of them alike;
the figure is the median of the ratios of each turn. Every turn traces both anew: one and the same
graph runs up to a quarter faster or slower from trace to trace, for as long as it lives, so that
the least and the greatest ratio are told as well. What a
gradient costs depends on the pixels, by up to a third on the machine this was written on, so that a
ratio may lie below 1: the floor's images stay clean, the attack's do not. An attack that needs many
thousand gradients is held against a shorter loop, scaled. Images that leave the attack's batch
leave smaller batches, which cost more an image; the floor's batches stay full.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust import Classifier
from tfrobust.engine.compiled import COMPILED
from tfrobust.engine.run import Crafted

BATCH = 100
_LONGEST = 200  # gradients or forward passes an image that one run of the floor takes at most
_TURN = 2.0  # seconds of a turn at least: short attacks run several times


@dataclasses.dataclass(frozen=True)
class Floor:
    """Bare gradients and forward passes, as many an image as an attack made.

    Attributes:
        classifier: the attack's.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        gradients: backward passes an image; need not be whole.
        queries: forward passes an image, those of the gradients among them.
    """

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    gradients: float
    queries: float

    @classmethod
    def of(cls, classifier: Classifier, images: Any, labels: Any, crafted: Crafted) -> Floor:
        """Return the floor of an attack that has run on these images."""
        count = len(images)
        return cls(classifier, images, labels, crafted.gradients / count, crafted.queries / count)

    @property
    def backward(self) -> int:
        """Backward passes taken from one forward pass."""
        return max(1, math.ceil(self.gradients / max(self.queries, 1e-9) - 1e-9))

    @property
    def differentiated(self) -> float:
        """Forward passes an image that backward passes start from."""
        return self.gradients / self.backward

    @property
    def plain(self) -> float:
        """Forward passes an image that nothing starts from."""
        return max(0.0, self.queries - self.differentiated)

    def __str__(self) -> str:
        alone = f"{self.plain:.4g} forward passes"
        if not self.gradients:
            return alone
        gradients = f"{self.gradients:.4g} gradients"
        return gradients if self.plain < 0.05 else f"{gradients} and {alone}"

    def seconds(self) -> float:
        """Run it once, and return how long the whole would take."""
        return sum(
            self._loop(backward, many)
            for backward, many in ((self.backward, self.differentiated), (0, self.plain))
            if many >= 0.01
        )

    def _loop(self, backward: int, many: float) -> float:
        number = min(_LONGEST, max(1, round(many)))
        call = _bare(self.classifier, backward)
        began = time.perf_counter()
        for start in range(0, len(self.images), BATCH):
            rows = slice(start, start + BATCH)
            images, labels = tf.constant(self.images[rows]), tf.constant(self.labels[rows])
            call(images, labels, tf.constant(number)).numpy()
        return (time.perf_counter() - began) * many / number


@functools.lru_cache(maxsize=16)
def _bare(classifier: Classifier, backward: int) -> Callable[..., Any]:
    """Trace a loop of forward passes, each with so many backward passes (0: none)."""

    def differentiate(images: Any, labels: Any) -> Any:
        with tf.GradientTape(persistent=backward > 1, watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = classifier(images)
        classes = classifier.num_classes
        upstream = [tf.one_hot((labels + k) % classes, classes) for k in range(backward)]
        gradients = [tape.gradient(logits, images, row) for row in upstream]
        return tf.add_n(gradients)

    def run(images: Any, labels: Any, number: Any) -> Any:
        def gradient_step(index: Any, images: Any, total: Any) -> Any:
            return index + 1, images + 1e-9 * differentiate(images, labels), total

        def forward_step(index: Any, images: Any, total: Any) -> Any:
            return index + 1, images + 1e-9, total + classifier(images)

        shapes = (tf.shape(images)[0], classifier.num_classes)
        _, images, total = tf.while_loop(
            lambda index, *_: index < number,
            gradient_step if backward else forward_step,
            (0, images, tf.zeros(shapes)),
            shape_invariants=(
                tf.TensorShape([]),
                images.shape,
                tf.TensorShape([None, classifier.num_classes]),
            ),
            parallel_iterations=1,
        )
        return tf.reduce_sum(images) + tf.reduce_sum(total)

    spec = [
        tf.TensorSpec((None, *classifier.image_shape)),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((), tf.int32),
    ]
    return tf.function(run, input_signature=spec)


class Ratio(NamedTuple):
    """A time in floors: the median of several turns, the least and the greatest."""

    median: float
    low: float
    high: float


def ratios(floor: Floor, runners: dict[str, Callable[[], Any]], turns: int) -> dict[str, Ratio]:
    """Return the time of each runner, in floors; see the module for what a turn is."""
    order, found = np.random.default_rng(0), []
    for _ in range(turns):
        _bare.cache_clear()
        COMPILED.clear()
        for run in (floor.seconds, *runners.values()):
            run()  # traces
        seconds = dict.fromkeys(["", *runners], 0.0)
        while sum(seconds.values()) < _TURN:
            for name in order.permutation(["", *runners]):
                seconds[name] += _timed(runners[name]) if name else floor.seconds()
        found.append({name: seconds[name] / seconds[""] for name in runners})
    return {name: spread([turn[name] for turn in found]) for name in runners}


def spread(turns: list[float]) -> Ratio:
    """Return the median of the turns, the least and the greatest."""
    return Ratio(float(np.median(turns)), min(turns), max(turns))


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def row(what: str, ratio: Ratio, bar: float | None, *, of: str = "") -> dict[str, Any]:
    """Return a row of the table: a ratio, and whether its median is within its bar."""
    return {
        "what": what,
        "measured": f"{ratio.median:.2f} ×{of} ({ratio.low:.2f} to {ratio.high:.2f})",
        "bar": f"≤ {bar} ×" if bar else "–",
        "holds": None if bar is None else ratio.median <= bar,
    }
