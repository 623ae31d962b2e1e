"""An image divided into cells; pixel noise draws one cell at a time.

A generation changes one cell, so only the rows around it are updated: the cost of a generation
grows with the width of the image, not with its number of pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfrobust.types import Flags, Images

Eligible = Callable[[Any, Any, Any], Any]  # (totals, size, inside) -> bool, like `totals`


class Board(NamedTuple):
    """The cells of a batch. All but `values` have spare rows above and below.

    Attributes:
        values: uint8 `(batch, rows · columns, size)`: every pixel and channel of a cell.
        totals: int32 `(batch, spare + rows + spare, columns)`: sums over the values of a cell.
        eligible: int32, of the same shape: 1 where a cell may be drawn.
        in_row: int32 `(batch, spare + rows + spare)`: number of eligible cells in a row.
        unused: bool, of the shape of `totals`: false where a cell must not be drawn again.
    """

    values: Any
    totals: Any
    eligible: Any
    in_row: Any
    unused: Any


class Place(NamedTuple):
    """One cell of every image: its row and column on the board, both int32 `(batch,)`."""

    row: Any
    column: Any


def to_cells(images: Images, side: int) -> Any:
    """Return brightness from 0 to 255, uint8 `(batch, rows, columns, side² · channels)`."""
    batch, height, width, channels = tf.unstack(tf.shape(images))
    levels = tf.cast(tf.round(images * 255.0), tf.uint8)
    split = [batch, height // side, side, width // side, side, channels]
    cells = tf.transpose(tf.reshape(levels, split), [0, 1, 3, 2, 4, 5])
    return tf.reshape(cells, [batch, height // side, width // side, side * side * channels])


def from_cells(values: Any, shape: Any, side: int) -> Any:
    """Return cells `(…, batch, rows · columns, size)` as images `(…, *shape)`."""
    batch, height, width, channels = tf.unstack(shape)
    split = [-1, height // side, width // side, side, side, channels]
    images = tf.transpose(tf.reshape(values, split), [0, 1, 3, 2, 4, 5])
    return tf.reshape(images, [-1, batch, height, width, channels])


def board_of(cells: Any, eligible: Eligible, reach: int) -> Board:
    """Return the board of cells from `to_cells`.

    `eligible` returns which cells may be drawn; that depends on `reach` rows above and below.
    """
    batch, rows, columns, size = tf.unstack(tf.shape(cells))
    totals = tf.reduce_sum(tf.cast(cells, tf.int32), 3)
    totals = tf.pad(totals, [[0, 0], [2 * reach, 2 * reach], [0, 0]])
    inside = _inside(tf.range(rows + 4 * reach)[None], rows, reach)
    may = tf.cast(eligible(totals, size, inside) & inside, tf.int32)
    values = tf.reshape(cells, [batch, rows * columns, size])
    return Board(values, totals, may, tf.reduce_sum(may, 2), tf.ones_like(totals, tf.bool))


def used_up(board: Board, place: Place) -> Board:
    """Return the board on which one cell of every image is not drawn again.

    It takes effect once `with_cell` looks at the rows around that cell.
    """
    at = tf.stack([tf.range(tf.shape(place.row)[0]), *place], 1)
    used = tf.zeros_like(place.row, tf.bool)
    return board._replace(unused=tf.tensor_scatter_nd_update(board.unused, at, used))


def chosen(board: Board, drawn: Any, reach: int) -> tuple[Place, Flags]:
    """Return the eligible cell that a draw from [0, 1) selects, and whether there is one.

    Of n eligible cells, counted row by row, it is number int(drawn · n); where there is none, any
    cell of the image.
    """
    before = tf.cumsum(board.in_row, 1)
    count = before[:, -1]
    # A draw just below 1 may round to n.
    number = tf.minimum(tf.cast(drawn * tf.cast(count, tf.float32), tf.int32), count - 1)
    last = tf.shape(before)[1] - 1 - 2 * reach
    row = tf.reduce_sum(tf.cast(before <= number[:, None], tf.int32), 1)
    row = tf.clip_by_value(row, 2 * reach, last)
    before = tf.gather(before - board.in_row, row, batch_dims=1)
    in_row = tf.cumsum(tf.gather(board.eligible, row, batch_dims=1), 1)
    left = (number - before)[:, None]
    last = tf.shape(in_row)[1] - 1
    column = tf.minimum(tf.reduce_sum(tf.cast(in_row <= left, tf.int32), 1), last)
    return Place(row, column), count > 0


def at_cell(board: Board, place: Place, reach: int) -> tuple[Any, Any]:
    """Return a cell's values, uint8 `(batch, size)`, and their sum, int32 `(batch,)`."""
    numbers = _numbers(board, place, reach)
    values = tf.gather(board.values, numbers, batch_dims=1)
    return values, tf.reduce_sum(tf.cast(values, tf.int32), 1)


def with_cell(board: Board, place: Place, values: Any, eligible: Eligible, reach: int) -> Board:
    """Return the board with other values in one cell of every image."""
    image = tf.range(tf.shape(values)[0])
    rows, size = tf.shape(board.totals)[1] - 4 * reach, tf.shape(values)[1]
    total = tf.reduce_sum(tf.cast(values, tf.int32), 1)
    totals = tf.tensor_scatter_nd_update(board.totals, tf.stack([image, *place], 1), total)
    # Eligibility changes up to `reach` rows away, and depends on `reach` more rows.
    seen = place.row[:, None] + tf.range(-2 * reach, 2 * reach + 1)
    inside = _inside(seen, rows, reach)
    seen_rows, unused = (tf.gather(rows, seen, batch_dims=1) for rows in (totals, board.unused))
    may = eligible(seen_rows, size, inside) & inside & unused
    may = tf.cast(may, tf.int32)[:, reach : 3 * reach + 1]
    near = seen[:, reach : 3 * reach + 1]
    where = tf.stack([tf.broadcast_to(image[:, None], tf.shape(near)), near], 2)
    cell = tf.stack([image, _numbers(board, place, reach)], 1)
    return Board(
        values=tf.tensor_scatter_nd_update(board.values, cell, values),
        totals=totals,
        eligible=tf.tensor_scatter_nd_update(board.eligible, where, may),
        in_row=tf.tensor_scatter_nd_update(board.in_row, where, tf.reduce_sum(may, 2)),
        unused=board.unused,
    )


def _numbers(board: Board, place: Place, reach: int) -> Any:
    """Return the cells' numbers, counted row by row without the spare rows."""
    return (place.row - 2 * reach) * tf.shape(board.totals)[2] + place.column


def _inside(rows: Any, count: Any, reach: int) -> Any:
    """Return which rows of the board belong to the image, bool `(batch or 1, rows, 1)`."""
    return ((rows >= 2 * reach) & (rows < count + 2 * reach))[..., None]
