"""Devices, and the strategy that distributes work over them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

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


def choose_strategy(name: StrategyName) -> Any:
    """Return the `tf.distribute` strategy: `auto` mirrors over several GPUs if there are any."""
    several = len(tf.config.list_logical_devices("GPU")) > 1
    if name == "mirrored" or (name == "auto" and several):
        devices = [device.name for device in tf.config.list_logical_devices("GPU")]
        devices = devices or [device.name for device in tf.config.list_logical_devices("CPU")]
        return tf.distribute.MirroredStrategy(devices)
    return tf.distribute.get_strategy()
