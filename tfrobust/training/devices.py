"""Devices and how work is spread over them."""

from __future__ import annotations

import os
from typing import Any, Literal

import tensorflow as tf

StrategyName = Literal["auto", "default", "mirrored"]


def grow_memory() -> None:
    """Let TensorFlow take a GPU's memory as it needs it, not all at once.

    Has an effect only before the first operation runs.
    """
    for device in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(device, True)
        except RuntimeError:  # the device is in use already: its setting stands
            return


def choose_strategy(name: StrategyName) -> Any:
    """Return the `tf.distribute` strategy: `auto` mirrors over several GPUs if there are any."""
    several = len(tf.config.list_logical_devices("GPU")) > 1
    if name == "mirrored" or (name == "auto" and several):
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()


def threads() -> int:
    """Return how many threads an operation is spread over on the CPU, as TensorFlow decides it.

    Sums are split by it, so that weights and figures are the same bit for bit only where it is.
    `TF_NUM_INTRAOP_THREADS` sets it; without that there is one for each core that may be used.
    """
    try:
        told = int(os.environ.get("TF_NUM_INTRAOP_THREADS", ""))
    except ValueError:
        told = 0
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return tf.config.threading.get_intra_op_parallelism_threads() or max(told, 0) or cores
