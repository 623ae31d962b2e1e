"""Slopes that make lower bounds higher, by gradient ascent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tfrobust.bounds.around import Slopes

_RATE, _DECAY = 0.1, 0.98  # of the steps, as in Xu et al. (2021)
_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-8  # of Adam


def highest(
    bound: Callable[[dict[int, Slopes]], Any],
    start: Mapping[int, Slopes],
    floors: Mapping[int, float],
    steps: int,
) -> Any:
    """Return the highest bounds that Adam finds.

    Args:
        bound: slopes → lower bounds, `(batch, functions)`, each of its own slopes alone.
        start: slopes by number, `(batch, functions, …)`, from their floor to 1.
        floors: by number.
        steps: gradients.

    Returns:
        float32 `(batch, functions)`, for each function the highest bound of all steps.
    """
    keys = list(start)

    def value(slopes: list[Slopes]) -> tuple[Any, list[Slopes]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(slopes)
            found = bound(dict(zip(keys, slopes, strict=True)))
        return found, tape.gradient(found, slopes, unconnected_gradients="zero")

    def step(number: Any, slopes: list[Slopes], first: Any, second: Any, best: Any) -> Any:
        found, gradients = value(slopes)
        count = tf.cast(number + 1, tf.float32)
        rate = _RATE * _DECAY ** (count - 1.0)
        moved, firsts, seconds = [], [], []
        for key, slope, gradient, mean, square in zip(
            keys, slopes, gradients, first, second, strict=True
        ):
            firsts.append(_FIRST * mean + (1.0 - _FIRST) * gradient)
            seconds.append(_SECOND * square + (1.0 - _SECOND) * tf.square(gradient))
            up = firsts[-1] / (1.0 - _FIRST**count)
            length = tf.sqrt(seconds[-1] / (1.0 - _SECOND**count)) + _SMALL
            moved.append(tf.clip_by_value(slope + rate * up / length, floors[key], 1.0))
        return number + 1, moved, firsts, seconds, tf.maximum(best, found)

    def run() -> Any:
        slopes = [start[key] for key in keys]
        zeros = [tf.zeros_like(slope) for slope in slopes]
        worst = tf.fill(tf.shape(slopes[0])[:2], float("-inf"))
        _, slopes, *_, best = tf.while_loop(
            lambda number, *_: number < steps,
            step,
            (0, slopes, zeros, zeros, worst),
            parallel_iterations=1,
        )
        return tf.maximum(best, bound(dict(zip(keys, slopes, strict=True))))

    # Outside of a graph, TensorFlow has no second gradient of convolutions.
    return tf.function(run, autograph=False)()
