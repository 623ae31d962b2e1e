"""One traced loop for every iterative attack.

An attack supplies a pure `step(state) -> state`; the state is a NamedTuple of tensors with one
row an image and a bool field `done`. The loop freezes rows that are done and takes them out of
the batch, so that the rest runs on the images that are left; where a batch must stay whole
(`tfrobust.engine.whole_batch`), they stay in it. Where every question costs, each row leaves at
once, and so does a row that gets no answers any more (`tfrobust.classifiers.asking`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from tfrobust.classifiers.asking import NUMBERS, refused_rows
from tfrobust.engine.regions import REGION
from tfrobust.engine.rounding import CLEAN_SIZES
from tfrobust.engine.starts import STARTS
from tfrobust.engine.whole_batch import is_kept_whole
from tfrobust.types import Flags

State = TypeVar("State")

# A batch shrinks in eighths: few enough shapes for a GPU to tune its kernels to, and at most an
# eighth of the batch is computed for nothing. Refilling a batch from the images still waiting would
# save 4 to 7 % of the time of `pgd`, `apgd_ce` and `deepfool` (LeNet, 128 images, one core): an
# image costs a tenth more in a batch of 64 than in one of 128, and twice as much in one of 12.
_PARTS = 8


def iterate(
    step: Callable[[Any, Any], Any],
    state: State,
    *,
    steps: Any,
    early_stop: bool = True,
    outcome: tuple[str, ...] = (),
) -> State:
    """Apply `step` up to `steps` times in one `tf.while_loop`.

    Args:
        step: `(state, number) -> state`, pure; `number` counts from 0. Each row's next state may
            depend on that row alone.
        state: a NamedTuple of tensors, each `(batch, ...)`, with a bool field `done`.
        steps: how many times at most, an integer or a scalar tensor.
        early_stop: take rows out once they are done; otherwise every row runs to the end and
            `done` is the attack's to use.
        outcome: the fields that the caller reads afterwards, if not all. Only these stay as they
            were once a row is done, which saves ten operations on whole images an iteration; what
            the others then hold is undefined, and may depend on the batch.

    Returns:
        The last state of every row, in the order they came in.
    """
    if isinstance(steps, int):
        steps = min(steps, tf.int32.max)  # the counter's type
    if not early_stop:
        _, state = tf.while_loop(
            lambda number, _: number < steps,
            lambda number, state: (number + 1, step(state, number)),
            (0, state),
            shape_invariants=(tf.TensorShape([]), _free_rows(state)),
            parallel_iterations=1,
        )
        return state

    batch = tf.shape(state.done)[0]  # type: ignore[attr-defined]
    part = tf.maximum(1, batch if is_kept_whole() else batch // _PARTS)
    part = part if NUMBERS.now is None else 1

    def body(number: Any, rows: Any, state: Any, finished: Any) -> Any:
        rows, state, finished = _shrink(rows, state, finished, part)
        held = (one.narrowed(rows) for one in (REGION, CLEAN_SIZES, NUMBERS, STARTS))
        with contextlib.ExitStack() as stack:
            for narrowed in held:
                stack.enter_context(narrowed)
            stepped = step(state, number)
        state = _without_refused(rows, _freeze(state, stepped, outcome))
        return number + 1, rows, state, finished

    free = tf.TensorShape([None])
    _, rows, state, finished = tf.while_loop(
        lambda number, _rows, state, _finished: (number < steps) & ~tf.reduce_all(state.done),
        body,
        (0, tf.range(batch), state, state),
        shape_invariants=(tf.TensorShape([]), free, _free_rows(state), _free_rows(state)),
        parallel_iterations=1,
    )
    return _put(finished, rows, state)


def _without_refused(rows: Any, state: Any) -> Any:
    """Let rows be done that get no answers any more."""
    with tf.control_dependencies(tf.nest.flatten(state)):  # the answers of this step are counted
        refused = refused_rows(tf.identity(rows))
    return state if refused is None else state._replace(done=state.done | refused)


def _free_rows(state: Any) -> Any:
    return tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), state)


def _freeze(before: Any, after: Any, outcome: tuple[str, ...]) -> Any:
    """Keep rows as they were once they were done."""

    def keep(old: Any, new: Any) -> Any:
        return new if new is old else blend(before.done, old, new)

    if not outcome:
        return tf.nest.map_structure(keep, before, after)
    kept = {name: keep(getattr(before, name), getattr(after, name)) for name in outcome}
    return after._replace(**kept, done=before.done | after.done)


def blend(flags: Flags, yes: Any, no: Any) -> Any:
    """Return `yes` in the flagged rows and `no` in the others.

    Args:
        flags: bool `(batch,)`.
        yes: `(batch, ...)`; may be NaN in rows that are not flagged.
        no: the same shape; may be NaN in the flagged rows.

    Returns:
        `tf.where` with the flags broadcast, bit for bit. The older operation copies whole rows: on
        a CPU it takes a seventh of the time for colour images.
    """
    return tf.raw_ops.Select(condition=flags, x=yes, y=no)


def _shrink(rows: Any, state: Any, finished: Any, part: Any) -> Any:
    """Move done rows from `state` to `finished`, leaving a whole number of parts."""
    left = tf.math.count_nonzero(~state.done, dtype=tf.int32)
    size = tf.size(rows)
    keep = tf.minimum(size, part * ((left + part - 1) // part))

    def move() -> Any:
        order = tf.concat([tf.where(~state.done)[:, 0], tf.where(state.done)[:, 0]], axis=0)
        staying, leaving = tf.split(order, [keep, size - keep])
        complete = _put(finished, tf.gather(rows, leaving), _take(state, leaving))
        return tf.gather(rows, staying), _take(state, staying), complete

    return tf.cond(keep < size, move, lambda: (rows, state, finished))


# Both run once a field and loop, and a traced attack is mostly these: one operation a field, where
# `tf.gather` and an index of its own for each would add five.
def _take(state: Any, rows: Any) -> Any:
    first = tf.constant(0)

    def gather(x: Any) -> Any:
        return tf.raw_ops.GatherV2(params=x, indices=rows, axis=first)

    return _each(gather, state)


def _put(into: Any, rows: Any, state: Any) -> Any:
    index = tf.expand_dims(rows, 1)

    def scatter(whole: Any, part: Any) -> Any:
        if whole.dtype in (tf.bool, tf.int32):  # GPUs scatter neither
            return tf.cast(scatter(tf.cast(whole, tf.int64), tf.cast(part, tf.int64)), whole.dtype)
        return tf.raw_ops.TensorScatterUpdate(tensor=whole, indices=index, updates=part)

    return _each(scatter, into, state)


def _each(change: Callable[..., Any], state: Any, *others: Any) -> Any:
    """Return a state of the changed fields."""
    fields = map(tf.nest.flatten, (state, *others))
    return tf.nest.pack_sequence_as(state, list(map(change, *fields)))
