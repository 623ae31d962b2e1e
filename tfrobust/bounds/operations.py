"""What a network consists of, as bounds see it: linear and monotone operations, and maxima.

Every operation sends boxes forward, and pulls linear functions of its output back to its inputs.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust.bounds.affine import Weighed
from tfrobust.bounds.around import Box, Slopes, largest, widened
from tfrobust.bounds.relaxations import chosen, rectifier_lines

Shape = tuple[int, ...]


class Pulled(NamedTuple):
    """Linear functions of an operation's inputs, below those of its output that they replace.

    Attributes:
        slopes: one of each input, `(batch, functions, …)`.
        offset: `(batch, functions)`.
    """

    slopes: list[Slopes]
    offset: Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Operation(abc.ABC):
    """One step of a network.

    Attributes:
        reads: the numbers of the tensors it reads: 0 is the image, k what operation k − 1 gives.
        given: their shapes, without the batch.
        shape: of what it gives.
    """

    reads: tuple[int, ...]
    given: tuple[Shape, ...]
    shape: Shape

    @abc.abstractmethod
    def interval(self, boxes: Sequence[Box]) -> Box:
        """Return a box of what it gives, of boxes of what it reads."""

    @abc.abstractmethod
    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Return functions of the inputs that are nowhere above these functions of the output.

        Args:
            slopes: `(batch, functions, *shape)`.
            boxes: of what it reads; linear operations need none.
            lower: the slopes of a rectifier's lower lines, `(batch, functions, *shape)`.
        """


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Linear(Operation):
    """W x + b.

    Attributes:
        weighed: gives W and b, of one input.
        mixes: whether a number it gives depends on several; if not, boxes stay exact.
    """

    weighed: Callable[[], Weighed]
    mixes: bool

    def interval(self, boxes: Sequence[Box]) -> Box:
        """Return W μ + b ± |W| r of the box μ ± r."""
        [box] = boxes
        apply, bias = self.weighed()
        centre, radius = (box.upper + box.lower) / 2.0, (box.upper - box.lower) / 2.0
        middle, reach = apply(centre, _same), apply(radius, tf.abs)
        size = apply(tf.stop_gradient(largest(box)), tf.abs) + tf.abs(bias)
        return widened(middle - reach + bias, middle + reach + bias, size)

    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Return a W and a b of each function a."""
        apply, bias = self.weighed()
        constant = tf.broadcast_to(bias, (1, *self.shape))
        return Pulled(
            pulled_through(lambda inputs: apply(inputs[0], _same), self.given, slopes),
            summed(slopes * constant),
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Arrangement(Operation):
    """Moves, repeats, adds or averages numbers: linear, and no weight is below 0.

    Attributes:
        call: of the tensors it reads.
        constant: whether it reads constants too: what it makes of zeros is added then.
        mixes: as of `Linear`.
    """

    call: Callable[[Sequence[Any]], Any]
    constant: bool
    mixes: bool

    def interval(self, boxes: Sequence[Box]) -> Box:
        """Return what it makes of the lower and of the upper bounds."""
        lower, upper = self.call([b.lower for b in boxes]), self.call([b.upper for b in boxes])
        if not self.mixes:
            return Box(lower, upper)
        return widened(lower, upper, tf.abs(self.call([largest(b) for b in boxes])))

    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Return the slopes where the numbers came from."""
        offset = tf.zeros(tf.shape(slopes)[:2])
        if self.constant:
            offset = summed(slopes * self.call([tf.zeros((1, *shape)) for shape in self.given]))
        return Pulled(pulled_through(self.call, self.given, slopes), offset)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Monotone(Operation):
    """An activation that never falls.

    Attributes:
        call: the function.
    """

    call: Callable[[Any], Any]

    def interval(self, boxes: Sequence[Box]) -> Box:
        """Return its values at both bounds."""
        [box] = boxes
        found = Box(self.call(box.lower), self.call(box.upper))
        return widened(*found, largest(found))

    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Put its lower bound where a slope is above 0, the upper one where it is below."""
        least, most = self.interval(boxes)
        above, below = tf.maximum(slopes, 0.0), tf.minimum(slopes, 0.0)
        offset = summed(above * least[:, None] + below * most[:, None])
        return Pulled([tf.zeros_like(slopes)], offset)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Rectifier(Monotone):
    """x above 0, and leak · x below.

    Attributes:
        leak: from 0 to 1.
    """

    leak: float

    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Put the lower line where a slope is above 0, the upper one where it is below."""
        lines = rectifier_lines(boxes[0], self.leak)
        above, below = tf.maximum(slopes, 0.0), tf.minimum(slopes, 0.0)
        flat = lines.lower[:, None] if lower is None else lower
        return Pulled(
            [above * flat + below * lines.upper[:, None]], summed(below * lines.offset[:, None])
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Largest(Operation):
    """The largest number of each window.

    Attributes:
        call: the pooling.
        places: int `(windows, numbers)`: where the numbers of a window are in an image that is
            flattened to `(pixels, channels)`; −1: outside of it.
    """

    call: Callable[[Any], Any]
    places: np.ndarray

    def interval(self, boxes: Sequence[Box]) -> Box:
        """Return the largest lower and the largest upper bounds."""
        [box] = boxes
        return Box(self.call(box.lower), self.call(box.upper))

    def pulled(self, slopes: Slopes, boxes: Sequence[Box], lower: Slopes | None = None) -> Pulled:
        """Replace a maximum by one of its numbers from below, and by its upper bound from above.

        Where that number is the largest for certain, it is the maximum.
        """
        inside = tf.constant(self.places >= 0)[..., None]
        choice = chosen(Box(*(self._windows(bound) for bound in boxes[0])), inside)
        windows, channels = self.places.shape[0], self.shape[-1]
        count = tf.shape(slopes)[:2]
        rows = tf.reshape(slopes, tf.concat([count, [windows, channels]], axis=0))
        above, below = tf.maximum(rows, 0.0), tf.minimum(rows, 0.0)
        kept = above + below * choice.certain[:, None]
        return Pulled(
            pulled_through(
                lambda inputs: self._windows(inputs[0]),
                self.given,
                kept[:, :, :, None] * choice.where[:, None],
            ),
            summed(below * ((1.0 - choice.certain) * choice.most)[:, None]),
        )

    def _windows(self, images: Any) -> Any:
        """Return the numbers of each window, `(batch, windows, numbers, channels)`."""
        pixels = int(np.prod(self.given[0][:-1]))
        flat = tf.reshape(images, (-1, pixels, self.given[0][-1]))
        return tf.gather(flat, tf.constant(np.maximum(self.places, 0)), axis=1)


def pulled_through(
    linear: Callable[[Sequence[Any]], Any], given: Sequence[Shape], slopes: Slopes
) -> list[Slopes]:
    """Return aᵀ W of functions a: what backpropagation makes of them.

    Of a convolution that is the transposed convolution. In a graph, the linear function itself is
    never computed.

    Args:
        linear: x ↦ W x, up to a constant, of batches.
        given: the shapes of its inputs, without the batch.
        slopes: `(batch, functions, …)`.
    """
    count, shape = tf.shape(slopes)[:2], slopes.shape[2:]
    rows = count[0] * count[1]
    inputs = [tf.zeros(tf.concat([[rows], list(one)], axis=0)) for one in given]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        outputs = linear(inputs)
    flat = tf.reshape(slopes, tf.concat([[rows], shape], axis=0))
    back = tape.gradient(outputs, inputs, output_gradients=flat, unconnected_gradients="zero")
    return [
        tf.reshape(slope, tf.concat([count, list(one)], axis=0))
        for slope, one in zip(back, given, strict=True)
    ]


def summed(values: Any) -> Any:
    """Add up all axes but the first two."""
    return tf.reduce_sum(values, axis=list(range(2, len(values.shape))))


def _same(weights: Any) -> Any:
    return weights
