"""The windows of the square attack, and the changes it tries in them in Linf and in L2."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from tfrobust import random
from tfrobust.engine.loop import blend
from tfrobust.engine.regions import confined, free_pixels
from tfrobust.norms import L2, PIXELS, Linf, Region
from tfrobust.types import Images, PerImage, Seeds
from tfrobust_attacks.score.square_pyramids import pyramids, tiles

# p is halved whenever more than so many of the paper's 10,000 queries are spent.
_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_PUBLISHED = 10_000
_SMALLEST = 3  # pixels: the side of the smallest window in L2
_TINY = 1e-12  # as good as no length


class Windows(NamedTuple):
    """Two windows a step, the same for all images; L2 empties the second, Linf ignores it."""

    bounds: Any  # (steps, 2, 2, 3): first and last + 1 of batch (ignored), row and column
    sign: Any  # (steps, channels)
    pyramid: Any  # (steps, 3): rank of the side among all sides; horizontal or vertical; the side

    def at(self, step: Any) -> Windows:
        """Return the windows of a step, without the first axis."""
        return Windows(*(field[step] for field in self))


class Point(NamedTuple):
    """A point of the search: the current one or a candidate."""

    images: Images
    spent: PerImage  # of the budget, in L2: the squared length of the change


class Moves(abc.ABC):
    """How the square attack starts and moves in a norm.

    Args:
        shape: of the images.
        steps: how many moves, 1 or more.
        p_init: share of an image's pixels in the first window.

    Attributes:
        margin: share of the ball's radius that is used.
        rescales: whether the paper's schedule is stretched or squeezed to the steps.
    """

    margin: ClassVar[float] = 1.0
    rescales: ClassVar[bool] = True

    def __init__(self, shape: tuple[int, ...], steps: int, p_init: float) -> None:
        self.shape = shape
        pixels = shares(steps, p_init, rescale=self.rescales) * shape[0] * shape[1]
        self.sides = self._fitting(np.round(np.sqrt(pixels)).astype(int))

    def windows(self, seed: Any) -> Windows:
        """Draw the windows of all steps, anywhere inside the image."""
        height, width, channels = self.shape
        drawn = tf.random.stateless_uniform((len(self.sides), 5 + channels), tf.stack([seed, 0]))
        places = np.array([height, width] * 2) - self.sides[:, None] + 1
        first = tf.cast(drawn[:, :4] * tf.constant(places, tf.float32), tf.int32)
        first = tf.pad(tf.reshape(first, (-1, 2, 2)), [[0, 0], [0, 0], [1, 0]])
        side = tf.constant(self.sides, tf.int32)
        number = tf.constant(np.searchsorted(np.unique(self.sides), self.sides), tf.int32)
        return Windows(
            bounds=tf.stack([first, first + side[:, None, None]], 2),
            sign=_sign(drawn[:, 5:]),
            pyramid=tf.stack([number, tf.cast(drawn[:, 4] < 0.5, tf.int32), side], 1),
        )

    @abc.abstractmethod
    def region(self, clean: Images, radius: Any) -> Region:
        """Return what the moves need to know of the ball."""

    @abc.abstractmethod
    def start(self, region: Region, seeds: Seeds) -> Point:
        """Return what is tried first."""

    @abc.abstractmethod
    def move(self, point: Point, region: Region, window: Windows) -> Point:
        """Return a point that is another in the window."""

    @abc.abstractmethod
    def _fitting(self, sides: Any) -> Any:
        """Return sides that windows in these images can have."""


class LinfMoves(Moves):
    """Corners of the box: a whole window goes to the same end of it, channel by channel."""

    def region(self, clean: Images, radius: Any) -> Region:
        """Return the ends of the box."""
        return Linf().region(clean, radius)

    def start(self, region: Region, seeds: Seeds) -> Point:
        """Return vertical stripes."""
        low, high = region
        sign = _sign(random.uniform(seeds, (1, *self.shape[1:])))
        return Point(tf.where(sign > 0, high, low), tf.zeros_like(low[:, 0, 0, 0]))

    def move(self, point: Point, region: Region, window: Windows) -> Point:
        """Fill the window with the one end or the other, whichever is new."""
        here = _Window(window.bounds[0])
        low, high, old = here.cut(region[0]), here.cut(region[1]), here.cut(point.images)
        up = 0.5 * window.sign + 0.5
        drawn = up * high + (1.0 - up) * low
        other = (1.0 - up) * high + up * low
        same = tf.reduce_all(drawn == old, PIXELS)
        new = blend(same, other, drawn)
        return point._replace(images=here.paste(point.images, new))

    def _fitting(self, sides: Any) -> Any:
        return np.clip(sides, 1, min(self.shape[:2]))


class L2Moves(Moves):
    """Pyramids: a window gains what another one loses, and what the ball has left."""

    margin = 1.0 - 1e-5  # for the rounding of thousands of float32 sums
    rescales = False

    def __init__(self, shape: tuple[int, ...], steps: int, p_init: float) -> None:
        super().__init__(shape, steps, p_init)
        self._pyramids = tf.constant(pyramids(np.unique(self.sides)))

    def region(self, clean: Images, radius: Any) -> Region:
        """Return the centre and the radius."""
        return L2().region(clean, radius)

    def start(self, region: Region, seeds: Seeds) -> Point:
        """Return tiles of pyramids with random signs per channel, scaled to the radius."""
        clean, radius = region
        pattern, tile = tiles(self.shape)
        signs = _sign(random.uniform(seeds, (int(tile.max()) + 1, self.shape[2])))
        change = confined(pattern[..., None] * tf.gather(signs, tile, axis=1))
        images = tf.clip_by_value(clean + radius * L2().steepest(change), 0.0, 1.0)
        return Point(images, tf.square(L2().distance(images, clean)))

    def move(self, point: Point, region: Region, window: Windows) -> Point:
        """Empty one window, and add a pyramid to another one, as long as the budget allows."""
        clean, radius = region
        here, there = (_Window(bounds) for bounds in tf.unstack(window.bounds))
        base, empty = here.cut(clean), there.cut(clean)
        emptied = there.paste(point.images, empty)
        freed = _square(there.cut(point.images) - empty) + _square(here.cut(emptied) - base)
        unused = tf.nn.relu(tf.square(radius) - point.spent[:, None, None, None]) / self.shape[2]
        number, upright, side = tf.unstack(window.pyramid)
        pyramid = self._pyramids[number, upright, :side, :side, None]
        change = here.cut(point.images) - base
        change = window.sign * pyramid + change / (tf.sqrt(_square(change)) + _TINY)
        if (free := free_pixels()) is not None:  # what goes elsewhere is lost to the budget
            change = tf.where(here.cut(free), change, 0.0)
        change *= tf.sqrt((freed + unused) / (_square(change) + _TINY))
        new = tf.clip_by_value(base + change, 0.0, 1.0)
        spent = point.spent + tf.reduce_sum(_square(new - base) - freed, PIXELS)
        return Point(here.paste(emptied, new), spent)

    def _fitting(self, sides: Any) -> Any:
        odd = np.maximum(sides, _SMALLEST) // 2 * 2 + 1
        return np.minimum(odd, (min(self.shape[:2]) - 1) // 2 * 2 + 1)


MOVES: dict[str, type[Moves]] = {"linf": LinfMoves, "l2": L2Moves}


class _Window:
    """A square of an image, the same in all images."""

    def __init__(self, bounds: Any) -> None:
        self._bounds = tf.unstack(bounds)

    def cut(self, images: Images) -> Images:
        return tf.strided_slice(images, *self._bounds, begin_mask=1, end_mask=1)

    def paste(self, images: Images, patch: Images) -> Images:
        begin, end = self._bounds
        return tf.raw_ops.TensorStridedSliceUpdate(
            input=images,
            begin=begin,
            end=end,
            strides=[1, 1, 1],
            value=patch,
            begin_mask=1,
            end_mask=1,
        )


def _square(patch: Images) -> Any:
    return tf.reduce_sum(tf.square(patch), (1, 2), keepdims=True)


def _sign(uniform: Any) -> Any:
    """Return −1 or 1 for numbers uniform in [0, 1)."""
    return 1.0 - 2.0 * tf.floor(2.0 * uniform)


def shares(steps: int, p_init: float, *, rescale: bool) -> Any:
    """Return p of every step, NumPy `(steps,)`: the paper's schedule for 10,000 queries.

    Args:
        steps: 1 or more.
        p_init: p of the first step.
        rescale: stretch or squeeze the schedule to the steps; otherwise fewer steps break it off.
    """
    spent = np.arange(steps)
    if rescale:
        spent = np.floor(spent / steps * _PUBLISHED)
    return p_init / 2.0 ** np.searchsorted(_HALVINGS, spent)
