"""Linear functions of a network's tensors, pulled back to where they are bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfrobust.bounds.around import Around, Box, Slopes, least_in
from tfrobust.bounds.network import Network
from tfrobust.bounds.operations import Arrangement, Linear
from tfrobust.types import Labels

Boxes = list[Box]  # of each tensor of a network
LowerSlopes = Mapping[int, Slopes]  # of rectifiers, by the number of what they give
_NUMBERS = 1 << 23  # in one tensor of slopes, at most: 32 MB


def margins(labels: Labels, classes: int) -> Slopes:
    """Return z_y − z_k of every class k as functions of the logits, `(batch, classes, classes)`."""
    return tf.one_hot(labels, classes)[:, None] - tf.eye(classes)[None]


def least(
    network: Network,
    slopes: Slopes,
    boxes: Boxes,
    around: Around,
    *,
    through: bool,
    number: int | None = None,
    lower: LowerSlopes | None = None,
) -> Any:
    """Return lower bounds of linear functions of a tensor, over the images around.

    Args:
        network: that computes it.
        slopes: of the functions, `(batch, functions, …)`.
        boxes: of the tensors before it.
        around: the images.
        through: whether functions are pulled through activations, by lines around them; if not,
            they are bounded there by the boxes.
        number: of the tensor; by default that of the logits.
        lower: slopes of rectifiers' lower lines; by default those of CROWN.

    Returns:
        float32 `(batch, functions)`.
    """
    last = network.output if number is None else number
    pending, total = {last: slopes}, tf.zeros(tf.shape(slopes)[:2])
    for at in range(last, 0, -1):
        if at not in pending:
            continue
        now, operation = pending.pop(at), network.operations[at - 1]
        if not through and not isinstance(operation, Linear | Arrangement):
            total += least_in(boxes[at], now)
            continue
        pulled = operation.pulled(now, [boxes[k] for k in operation.reads], (lower or {}).get(at))
        total += pulled.offset
        for read, slope in zip(operation.reads, pulled.slopes, strict=True):
            pending[read] = pending[read] + slope if read in pending else slope
    return total + around.least(pending[0]) if 0 in pending else total


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
    count = tf.clip_by_value(_NUMBERS // (2 * batch * widest), 1, size)

    @tf.autograph.experimental.do_not_convert  # converting takes longer than tracing
    def bounds(start: Any) -> Any:
        rows = tf.reshape(tf.one_hot(start + tf.range(count), size), (1, -1, *shape))
        both = tf.tile(tf.concat([rows, -rows], axis=1), (batch, 1, *(1 for _ in shape)))
        found = least(network, both, boxes, around, through=through, number=number)
        return tf.reshape(found, (batch, 2, count))

    starts = tf.range(0, size, count)
    parts = tf.map_fn(bounds, starts, fn_output_signature=tf.float32, parallel_iterations=1)
    found = tf.reshape(tf.transpose(parts, (1, 2, 0, 3)), (batch, 2, -1))[:, :, :size]
    lower = tf.maximum(tf.reshape(found[:, 0], (-1, *shape)), boxes[number].lower)
    upper = tf.minimum(tf.reshape(-found[:, 1], (-1, *shape)), boxes[number].upper)
    return Box(lower, tf.maximum(upper, lower))  # rounding may have crossed them
