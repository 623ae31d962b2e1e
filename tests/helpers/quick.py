"""What makes tracing cheap in a process of tests, which runs most graphs once."""

import functools
import gc

import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops
from tensorflow.python.framework import ops


def grappler(on: bool) -> None:
    """Let Grappler optimise graphs, as it does outside of tests, or leave it out.

    It pays for itself over many runs of a graph.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


def trace_quickly() -> None:
    """Leave out what costs half of tracing's time and gives no other results.

    - Grappler, and what tf.data optimises before it reads the first image.
    - The stack of Python frames that TensorFlow keeps with each operation.
    - Frequent garbage collection. What is imported by now is never collected; a dropped graph is
      collected a little later.
    """
    grappler(on=False)
    _leave_stacks_out()
    _leave_datasets_as_they_are()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _leave_stacks_out() -> None:
    ops._create_c_op = functools.partial(ops._create_c_op, extract_traceback=False)


def _leave_datasets_as_they_are() -> None:
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    dataset_ops.DatasetV2._apply_debug_options = lambda dataset: dataset.with_options(options)
