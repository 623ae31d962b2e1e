"""Python functions in traced ones: their errors and Ctrl-C come through."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifiers.python_calls import call_python, raised_in_python
from tfrobust.errors import BudgetSpentError


def looped(function, times):
    """Return a traced loop of calls, as an attack makes them."""

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64)])
    def run(start):
        def body(number, total):
            return number + 1, total + tf.ensure_shape(call_python(function, [total], tf.int64), ())

        return tf.while_loop(lambda number, _: number < times, body, (0, start))[1]

    return run


def test_a_function_is_called_once_a_step_traced_or_not():
    assert int(looped(lambda total: total, 5)(tf.constant(1, tf.int64))) == 32
    assert int(call_python(lambda x: x + 1, [tf.constant(1, tf.int64)], tf.int64)) == 2


def test_an_error_comes_out_of_a_graph_as_it_was_raised():
    original = BudgetSpentError("nothing is left")

    def refuse(total):
        raise original

    with pytest.raises(BudgetSpentError) as raised, raised_in_python():
        looped(refuse, 5)(tf.constant(0, tf.int64))
    assert raised.value is original


def test_ctrl_c_ends_a_loop_of_questions_at_the_next_one():
    asked = []

    def slow(total):
        if not asked:  # the loop runs: until then it may be traced for any time
            timer.start()
        asked.append(total)
        time.sleep(0.01)
        return np.int64(0)

    run = looped(slow, 2000)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's workers ignore it
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    try:
        with pytest.raises(KeyboardInterrupt), raised_in_python():
            run(tf.constant(0, tf.int64))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert 1 <= len(asked) < 1000
