"""Devices, and the strategy that distributes work over them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from tfrobust.errors import UsageError, one_line
from tfrobust.training.cluster import cluster_from, in_words, meet
from tfrobust.training.options import StrategyName


def grow_memory() -> None:
    """Let TensorFlow allocate a GPU's memory as it needs it, not all at once.

    Has an effect only before the first operation runs.
    """
    for device in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(device, True)
        except RuntimeError:  # the device is in use already and keeps its setting
            return


def choose_strategy(name: StrategyName, log: Callable[[str], object] = lambda _: None) -> Any:
    """Return the `tf.distribute` strategy: `auto` mirrors over several GPUs if there are any.

    Args:
        name: of the strategy.
        log: is called with a line for the workers that `multiworker` waits for.

    Raises:
        UsageError: `multiworker` without a sound `TF_CONFIG`, or after TensorFlow was used.
    """
    if name == "multiworker":
        return _multi_worker(log)
    several = len(tf.config.list_logical_devices("GPU")) > 1
    if name == "mirrored" or (name == "auto" and several):
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()


def _multi_worker(log: Callable[[str], object]) -> Any:
    """Return the strategy of the workers that `TF_CONFIG` names, once all of them are there."""
    cluster = cluster_from()
    meet(cluster, log)
    try:
        with _ended_by_signals():
            return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UsageError(
            "strategy: multiworker must be chosen before TensorFlow is used: make the Trainer "
            f"before models and data ({one_line(error)})"
        ) from error
    except tf.errors.OpError as error:
        raise UsageError(
            f"strategy: {in_words(cluster)} cannot join the others ({one_line(error.message)}); "
            "start all workers of TF_CONFIG, with addresses that each of them reaches"
        ) from error


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the process: no handler of Python runs while TensorFlow joins."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
