"""Linear functions of a network's tensors, pulled back to where they are bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrobust.bounds.around import ROUNDING, Around, Box, Slopes, least_in, size_in
from tfrobust.bounds.network import Network
from tfrobust.bounds.operations import Arrangement, Linear
from tfrobust.types import Labels

Boxes = Sequence[Box]  # of each tensor of a network
LowerSlopes = Mapping[int, Slopes]  # of rectifiers, by the number of what they give
_NUMBERS = 1 << 23  # in one tensor of slopes, at most: 32 MB


def margins(labels: Labels, classes: int) -> Slopes:
    """Return z_y − z_k of every class k as functions of the logits, `(batch, classes, classes)`."""
    return tf.one_hot(labels, classes)[:, None] - tf.eye(classes)[None]


def pulled_back(
    network: Network,
    slopes: Slopes,
    number: int,
    *,
    boxes: Boxes = (),
    through: bool = False,
    lower: LowerSlopes | None = None,
) -> tuple[dict[int, Slopes], Any]:
    """Return functions of earlier tensors that together are nowhere above these of a tensor.

    Args:
        network: that computes the tensor.
        slopes: of the functions, `(batch, functions, …)`.
        number: of the tensor.
        boxes: of the tensors up to it; needed where functions go through activations. With them,
            what is added is less by a margin for rounding: a share of Σ |a| max |x| + |offset|
            of every tensor on the way.
        through: whether they go through activations and maxima, by lines around those, back to the
            image; if not they stop there, and are the same functions.
        lower: slopes of rectifiers' lower lines; by default those of CROWN.

    Returns:
        The slopes by the number of the tensor, `(batch, functions, …)`, and what is added,
        `(batch, functions)`.
    """
    pending, total = {number: slopes}, tf.zeros(tf.shape(slopes)[:2])
    for at in range(number, 0, -1):
        operation = network.operations[at - 1]
        stops = not through and not isinstance(operation, Linear | Arrangement)
        if at not in pending or stops:
            continue
        read = [boxes[k] for k in operation.reads] if through else []
        slopes = pending.pop(at)
        pulled = operation.pulled(slopes, read, (lower or {}).get(at))
        total += pulled.offset
        if boxes:  # rounded there, and in the network
            size = size_in(boxes[at], slopes) + tf.abs(tf.stop_gradient(pulled.offset))
            total -= ROUNDING * size
        for k, slope in zip(operation.reads, pulled.slopes, strict=True):
            pending[k] = pending[k] + slope if k in pending else slope
    return pending, total


def least(
    network: Network,
    slopes: Slopes,
    number: int,
    boxes: Boxes,
    around: Around,
    *,
    through: bool,
    lower: LowerSlopes | None = None,
) -> Any:
    """Return lower bounds of functions of a tensor over the images around, `(batch, functions)`.

    They are pulled back, and bounded where they stop: over the images, and over boxes. See
    `pulled_back`.
    """
    found, total = pulled_back(network, slopes, number, boxes=boxes, through=through, lower=lower)
    for at, function in found.items():
        total += least_in(boxes[at], function) if at else around.least(function)
        total -= ROUNDING * size_in(boxes[at], function)
    return total


def tightened(network: Network, number: int, boxes: Boxes, around: Around, through: bool) -> Box:
    """Return the box of a tensor, made smaller by bounds of each of its numbers by itself.

    Those are functions as many as there are numbers. They take too much memory at once: some go at
    a time.

    Args:
        network: that computes it.
        number: of the tensor, whose box in `boxes` is made smaller.
        boxes: of the tensors up to it.
        around: the images.
        through: see `least`.
    """
    shape, batch = network.shape(number), tf.shape(around.images)[0]
    size, widest = math.prod(shape), max(math.prod(network.shape(k)) for k in range(number + 1))
    count = tf.clip_by_value(_NUMBERS // (2 * tf.maximum(batch, 1) * widest), 1, size)

    @tf.autograph.experimental.do_not_convert  # converting takes longer than tracing
    def bounds(start: Any) -> Any:
        rows = tf.reshape(tf.one_hot(start + tf.range(count), size), (1, -1, *shape))
        both = tf.tile(tf.concat([rows, -rows], axis=1), (batch, 1, *(1 for _ in shape)))
        found = least(network, both, number, boxes, around, through=through)
        return tf.reshape(found, (batch, 2, count))

    starts = tf.range(0, size, count)
    parts = tf.map_fn(bounds, starts, fn_output_signature=tf.float32, parallel_iterations=1)
    found = tf.reshape(tf.transpose(parts, (1, 2, 0, 3)), (batch, 2, -1))[:, :, :size]
    lower = tf.maximum(tf.reshape(found[:, 0], (-1, *shape)), boxes[number].lower)
    upper = tf.minimum(tf.reshape(-found[:, 1], (-1, *shape)), boxes[number].upper)
    return Box(lower, tf.maximum(upper, lower))  # rounding may have crossed them
