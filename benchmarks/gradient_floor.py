"""The gradient floor: the cost of an attack's gradients and forward passes alone.

The floor computes as many gradients and forward passes per image as the engine counted for the
attack, of the same classifier on the same batches, in one `tf.while_loop` of one `tf.function`. The
iterate moves just enough that nothing can be reused. A gradient is that of the label's logit.
(Cross-entropy would make the floor slower: where a confident network's gradient nearly vanishes,
the numbers become denormal.) Where an attack takes several gradients from one forward pass, one per
class, so does the floor.

Floor and attacks run in turn in random order, so that other load on the machine affects all of
them; the figure is the median of the ratios of all turns. Every turn traces both again: the speed
of the same graph differs by up to a quarter from trace to trace, so the smallest and the largest
ratio are reported as well. The cost of a gradient depends on the pixels, by up to a third on the
machine this was written on, so a ratio may be below 1: the floor's images stay clean, the attack's
do not. An attack that needs many thousand gradients is compared with a shorter loop, scaled. Images
that leave the attack's batch leave smaller batches, which cost more per image; the floor's batches
stay full.
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
_LONGEST = 200  # maximum number of gradients or forward passes per image in a run of the floor
_TURN = 2.0  # minimum seconds of a turn: short attacks run several times


@dataclasses.dataclass(frozen=True)
class Floor:
    """Gradients and forward passes alone, as many per image as an attack needs.

    Attributes:
        classifier: the attacked classifier.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        gradients: backward passes per image; may be fractional.
        queries: forward passes per image, those of the gradients included.
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
        """Backward passes per forward pass."""
        return max(1, math.ceil(self.gradients / max(self.queries, 1e-9) - 1e-9))

    @property
    def differentiated(self) -> float:
        """Forward passes per image that are followed by backward passes."""
        return self.gradients / self.backward

    @property
    def plain(self) -> float:
        """Forward passes per image without a backward pass."""
        return max(0.0, self.queries - self.differentiated)

    def __str__(self) -> str:
        alone = f"{self.plain:.4g} forward passes"
        if not self.gradients:
            return alone
        gradients = f"{self.gradients:.4g} gradients"
        return gradients if self.plain < 0.05 else f"{gradients} and {alone}"

    def seconds(self) -> float:
        """Run it once, and return the estimated time of the whole floor."""
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
    """Trace a loop of forward passes, each with `backward` backward passes (0: none)."""

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
    """A time divided by the floor's: the median of several turns, the smallest and the largest."""

    median: float
    low: float
    high: float


def ratios(floor: Floor, runners: dict[str, Callable[[], Any]], turns: int) -> dict[str, Ratio]:
    """Return each runner's time divided by the floor's; the module docstring explains the turns."""
    order, results = np.random.default_rng(0), []
    for _ in range(turns):
        _bare.cache_clear()
        COMPILED.clear()
        for run in (floor.seconds, *runners.values()):
            run()  # traces
        seconds = dict.fromkeys(["", *runners], 0.0)
        while sum(seconds.values()) < _TURN:
            for name in order.permutation(["", *runners]):
                seconds[name] += _timed(runners[name]) if name else floor.seconds()
        results.append({name: seconds[name] / seconds[""] for name in runners})
    return {name: spread([turn[name] for turn in results]) for name in runners}


def spread(turns: list[float]) -> Ratio:
    """Return the median, the smallest and the largest of the turns."""
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
