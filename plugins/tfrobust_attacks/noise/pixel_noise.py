"""Four pixel noises that ignore the classifier: they invert random cells, one at a time.

b ← int((255 − b) / c)   (3)        b ← int(255 − b / c)   (4)

Each generation draws one of the cells that are eligible in the current image, and inverts it; an
image without an eligible cell is not changed. b is a cell's brightness from 0 to 255.

| noise | eligible | inverted by |
|---|---|---|
| `random_pixel_invert`, the control | every cell | (3) where b > 127, else (4); c = 1.25 |
| `white_to_black` | b > 0 | (3); c = 2 |
| `black_to_white` | b < 100 | (4); c = 2 |
| `edge_to_altered` | one of 8 neighbours is on the other side of 127 | as the control |

`repeat=false` draws each cell at most once. With repetition most draws of `white_to_black` change
little: a white cell turns black, but grey ones approach 85, the fixed point of (3) with c = 2, and
stay eligible.

Cheng & Hu, "Architectural resilience to foreground-and-background adversarial noise" (2020).
Threat: none: the classifier is never queried.
Departures: the paper's cells are grey; here the brightness of a cell with several channels or
pixels is their mean, and each value is inverted separately. Values outside 0…255 (c < 1) are cut.
The paper does not say whether a cell may be drawn again. It gives c = 2 for two noises only; the
other two have the equations' default, c = 1.25.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.attack import Threat
from tfrobust.classifier import Classifier
from tfrobust.engine.staged import GrowingAttack
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.random import fold, image_seeds, uniform
from tfrobust.registry import name_of
from tfrobust.types import Images, Seeds
from tfrobust_attacks.noise.pixel_cells import (
    Board,
    at_cell,
    board_of,
    chosen,
    from_cells,
    to_cells,
    used_up,
    with_cell,
)

_WHITE, _BLACK, _MIDDLE = 0, 100, 127  # the paper's thresholds
_DRAWN = 256  # draws per block, for any count: a long run starts with the draws of a short one
_DEFAULT_C = 1.25  # of the equations, where the paper gives no other c
_OUTSIDE = -2.0  # a neighbour outside the image: below bright, dark (1 and 0) and their negatives


def _c_option(default: float) -> Any:
    """Return the option `c` of the noises."""
    return option("divides the brightness; above 1 moves it to the extremes", default=default, gt=0)


@plugin
class PixelNoise(GrowingAttack):
    """The common part of the four: draw an eligible cell and invert it.

    Attributes:
        reach: rows above and below a cell that decide whether it is eligible.
    """

    reach: ClassVar[int] = 0

    count: int = option(
        "number of cells to invert, one after another", default=40, ge=0, le=100_000
    )
    c: float = _c_option(2.0)
    pixel_size: int = option(
        "side of a cell, in pixels; 2 for images enlarged twice", default=1, ge=1
    )
    repeat: bool = option("whether a cell may be drawn again; no: each once", default=True)

    @property
    def threat(self) -> Threat:
        """Blind, bounded in no norm."""
        return Threat("none", None)

    def check(self, classifier: Classifier) -> None:
        """Refuse a pixel size that does not divide the image.

        Raises:
            UsageError: naming both.
        """
        super().check(classifier)
        height, width, _ = classifier.image_shape
        if height % self.pixel_size or width % self.pixel_size:
            raise UsageError(
                f"{name_of(self)}: pixel_size: expected a divisor of {height} and of {width}; "
                f"received: {self.pixel_size}"
            )

    def stages(self, images: Images, counts: Sequence[int], *, seed: Any) -> Any:
        """Return the images after each of `counts` generations; see `GrowingAttack`."""
        first = board_of(to_cells(images, self.pixel_size), self.eligible, self.reach)
        drawn = draws(image_seeds(seed, tf.shape(images)[0]), max(counts))
        ends = tf.constant(list(counts), tf.int32)

        def generation(number: Any, board: Board) -> tuple[Any, Board]:
            return number + 1, self._generation(board, drawn[:, number])

        def stage(index: Any, number: Any, board: Board, values: Any) -> tuple[Any, ...]:
            number, board = tf.while_loop(
                lambda number, _: number < ends[index], generation, (number, board)
            )
            return index + 1, number, board, values.write(index, board.values)

        *_, values = tf.while_loop(
            lambda index, *_: index < len(counts),
            stage,
            (0, 0, first, tf.TensorArray(tf.uint8, len(counts))),
        )
        shape = tf.shape(images)
        noisy = from_cells(values.stack(), shape, self.pixel_size)
        untouched = noisy == from_cells(first.values, shape, self.pixel_size)
        return tf.where(untouched, images, tf.cast(noisy, tf.float32) / 255.0)

    @abc.abstractmethod
    def eligible(self, totals: Any, size: Any, inside: Any) -> Any:
        """Return which cells may be drawn, bool of the shape of `totals`.

        Args:
            totals: int32 `(batch, rows, columns)`, sums of a cell's values from 0 to 255.
            size: number of values of a cell: `totals / size` is its brightness.
            inside: bool `(batch or 1, rows, 1)`: the rows that belong to the image.
        """

    def darkens(self, totals: Any, size: Any) -> Any:
        """Return which cells are inverted by (3), the others by (4); bool like `totals`."""
        return totals > _MIDDLE * size

    def _generation(self, board: Board, drawn: Any) -> Board:
        """Invert one eligible cell of every image."""
        place, exists = chosen(board, drawn, self.reach)
        values, total = at_cell(board, place, self.reach)
        dark = self.darkens(total, tf.shape(values)[1])[:, None]
        levels = tf.cast(values, tf.int32)
        inverted = tf.where(dark, tf.gather(self._by_3(), levels), tf.gather(self._by_4(), levels))
        kept = tf.where(exists[:, None], inverted, values)
        board = board if self.repeat else used_up(board, place)
        return with_cell(board, place, kept, self.eligible, self.reach)

    # Tables computed with Python's int(): a float32 quotient may round to another integer.

    def _by_3(self) -> Any:
        return _levels([(255 - b) / self.c for b in range(256)])

    def _by_4(self) -> Any:
        return _levels([255 - b / self.c for b in range(256)])


@plugin
class RandomPixelInvert(PixelNoise):
    """Inverts any pixel, to a more extreme value: the control noise."""

    c: float = _c_option(_DEFAULT_C)

    def eligible(self, totals: Any, size: Any, inside: Any) -> Any:
        """Return every cell."""
        return tf.ones_like(totals, tf.bool)


@plugin
class WhiteToBlack(PixelNoise):
    """Foreground to background: darkens a pixel that is not black."""

    def eligible(self, totals: Any, size: Any, inside: Any) -> Any:
        """Return the cells with b > 0."""
        return totals > _WHITE * size

    def darkens(self, totals: Any, size: Any) -> Any:
        """Return true: always (3)."""
        return tf.ones_like(totals, tf.bool)


@plugin
class BlackToWhite(PixelNoise):
    """Background to foreground: brightens a dark pixel."""

    def eligible(self, totals: Any, size: Any, inside: Any) -> Any:
        """Return the cells with b < 100."""
        return totals < _BLACK * size

    def darkens(self, totals: Any, size: Any) -> Any:
        """Return false: always (4)."""
        return tf.zeros_like(totals, tf.bool)


@plugin
class EdgeToAltered(PixelNoise):
    """Bad handwriting: inverts a pixel next to one of the opposite colour."""

    reach = 1

    c: float = _c_option(_DEFAULT_C)

    def eligible(self, totals: Any, size: Any, inside: Any) -> Any:
        """Return the cells with a neighbour, diagonals included, on the other side of 127."""
        bright = tf.cast(totals > _MIDDLE * size, tf.float32)
        brightest = _highest_near(tf.where(inside, bright, _OUTSIDE))
        darkest = -_highest_near(tf.where(inside, -bright, _OUTSIDE))
        return brightest > darkest


def draws(seeds: Seeds, count: int) -> Any:
    """Return a draw from [0, 1) for each generation, float32 `(batch, count)`."""
    blocks = [uniform(fold(seeds, number), (_DRAWN,)) for number in range(-(-count // _DRAWN))]
    return tf.concat(blocks, 1)[:, :count] if blocks else tf.zeros((tf.shape(seeds)[0], 0))


def _levels(numbers: Sequence[float]) -> Any:
    return tf.constant([int(min(max(number, 0), 255)) for number in numbers], tf.uint8)


def _highest_near(cells: Any) -> Any:
    """Return the highest of each cell and its 8 neighbours, `(batch, rows, columns)`."""
    wide = tf.pad(cells, [[0, 0], [1, 1], [1, 1]], constant_values=_OUTSIDE)
    tall = tf.maximum(tf.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return tf.maximum(tf.maximum(tall[:, :, :-2], tall[:, :, 1:-1]), tall[:, :, 2:])
