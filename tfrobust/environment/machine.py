"""The kind of machine that figures and times come from: models of its parts, and no names."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import tensorflow as tf

_CPUINFO = Path("/proc/cpuinfo")
_LONGEST = 200  # characters


@functools.lru_cache(maxsize=1)
def machine_kind() -> str:
    """Return the model of the processor, and of the GPUs that TensorFlow sees.

    Example:
        >>> machine_kind()
        'AMD EPYC 7B13'
    """
    kinds = [_processor(), *_gpus()]
    return ", ".join(dict.fromkeys(kinds))[:_LONGEST]


def _processor() -> str:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def _gpus() -> list[str]:
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return [str(detail.get("device_name", "GPU")) for detail in details]
