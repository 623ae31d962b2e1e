"""What makes tracing cheap in a process of tests, which runs most graphs once."""

import gc

import tensorflow as tf


def grappler(on: bool) -> None:
    """Let Grappler optimise graphs, as it does outside of tests, or leave it out.

    It pays for itself over many runs of a graph.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not on})


def trace_quickly() -> None:
    """Leave Grappler out, and look for garbage rarely: a quarter of tracing's time goes there.

    What is imported by now is never collected; a dropped graph is collected a little later.
    """
    grappler(on=False)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
