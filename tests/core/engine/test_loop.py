"""The traced loop does what a plain Python loop does."""

from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from helpers.pairs import pairwise
from tfrobust.engine.loop import blend, iterate


class Collatz(NamedTuple):
    """Rows that end at different times: n → n/2 or 3n + 1, until 1."""

    value: Any
    picture: Any  # float, of rank 4, moves with the row
    done: Any


def step(state: Collatz, number: Any) -> Collatz:
    even = state.value % 2 == 0
    value = tf.where(even, state.value // 2, 3 * state.value + 1)
    picture = state.picture + tf.cast(number + 1, tf.float32)
    return Collatz(value, picture, value == 1)


def start(values) -> Collatz:
    values = tf.constant(values, tf.int64)
    picture = tf.cast(values, tf.float32)[:, None, None, None] * tf.ones((1, 2, 2, 1))
    return Collatz(values, picture, values == 1)


def plainly(values, steps):
    """Return the same by a Python loop over rows."""
    ends, pictures = [], []
    for first in values:
        value, picture = first, float(first)
        for number in range(steps):
            if value == 1:
                break
            value = value // 2 if value % 2 == 0 else 3 * value + 1
            picture += number + 1
        ends.append(value)
        pictures.append(picture)
    return ends, pictures


ROWS = [list(range(1, 41)), [1, 1, 1], [27], [6, 1, 9, 27, 2, 1, 97, 3, 5]]


@pytest.mark.parametrize(("rows", "steps", "traced"), pairwise(ROWS, [0, 1, 7, 150], [False, True]))
def test_rows_end_as_in_a_plain_loop_and_keep_their_order(rows, steps, traced):
    def run(state):
        return iterate(step, state, steps=steps)

    state = (tf.function(run) if traced else run)(start(rows))
    ends, pictures = plainly(rows, steps)
    assert state.value.numpy().tolist() == ends
    assert state.picture.numpy()[:, 0, 0, 0].tolist() == pictures
    assert state.done.numpy().tolist() == [end == 1 for end in ends]


def test_without_early_stopping_every_row_takes_every_step():
    state = iterate(step, start([1, 2, 3]), steps=4, early_stop=False)
    expected = []
    for first in (1, 2, 3):
        value = first
        for _ in range(4):
            value = value // 2 if value % 2 == 0 else 3 * value + 1
        expected.append(value)
    assert state.value.numpy().tolist() == expected
    assert state.picture.numpy()[:, 0, 0, 0].tolist() == [11.0, 12.0, 13.0]


def test_the_number_of_steps_may_be_a_tensor():
    state = iterate(step, start([27]), steps=tf.constant(3))
    assert state.value.numpy().tolist() == plainly([27], 3)[0]


def test_more_steps_than_an_int32_counts_are_no_reason_to_take_none():
    state = iterate(step, start([27]), steps=224**4)
    assert state.value.numpy().tolist() == [1]


def test_done_rows_leave_the_batch():
    sizes = []

    def recording(state, number):
        tf.py_function(lambda n: sizes.append(int(n)), [tf.size(state.value)], [])
        return step(state, number)

    tf.function(lambda s: iterate(recording, s, steps=200))(start(range(1, 33)))
    assert sizes[0] == 32
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 4
    assert all(size % 4 == 0 for size in sizes)


def test_blend_agrees_with_where_bit_for_bit():
    draw = np.random.default_rng(0)
    flags = draw.integers(0, 2, 9).astype(bool)
    yes, no = (draw.normal(size=(9, 4, 4, 2)).astype(np.float32) for _ in range(2))
    blended = blend(tf.constant(flags), tf.constant(yes), tf.constant(no)).numpy()
    assert np.array_equal(blended, np.where(flags[:, None, None, None], yes, no))


def test_blend_takes_no_nan_from_the_side_that_it_does_not_choose():
    flags = tf.constant([True, False])
    nan = tf.fill((2, 3, 3, 1), float("nan"))
    ones = tf.ones((2, 3, 3, 1))
    assert np.isfinite(blend(flags, ones, nan).numpy()).tolist()[0][0][0] == [True]
    assert np.isfinite(blend(flags, nan, ones).numpy()[1]).all()


def test_a_finished_row_does_not_change_even_if_a_step_would_change_it():
    class Row(NamedTuple):
        value: Any
        done: Any

    def first_done(state, _):
        value = tf.where(state.done[:, None, None, None], float("nan"), state.value + 1.0)
        return Row(value, state.done | (state.value[:, 0, 0, 0] == 0))

    values = tf.reshape(tf.range(16, dtype=tf.float32), (16, 1, 1, 1))
    end = tf.function(lambda: iterate(first_done, Row(values, tf.zeros(16, tf.bool)), steps=4))()
    assert end.value.numpy().ravel().tolist() == [1.0, *(value + 4.0 for value in range(1, 16))]


def test_only_the_named_fields_of_finished_rows_are_kept():
    class Counting(NamedTuple):
        limit: Any
        count: Any
        scratch: Any
        done: Any

    def step(state, _):
        count = state.count + 1
        return state._replace(count=count, scratch=state.scratch + 1, done=count >= state.limit)

    limits = tf.constant([1, 4, 2, 9, 3])
    zeros = tf.zeros_like(limits)
    start = Counting(limits, zeros, zeros, zeros > 0)
    kept = iterate(step, start, steps=9, outcome=("count",))
    whole = iterate(step, start, steps=9)
    assert kept.count.numpy().tolist() == limits.numpy().tolist() == whole.count.numpy().tolist()
    assert kept.done.numpy().all()
    assert whole.scratch.numpy().tolist() == limits.numpy().tolist()
