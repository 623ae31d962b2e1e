"""What figures may depend on beside the code: versions, threads and kernels."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import tensorflow as tf
from tensorflow.python.util import _pywrap_util_port

from tfrobust.environment.cores import usable_cores


def environment() -> dict[str, str]:
    """Return the versions, the number of threads and the kernels that figures may depend on."""
    packages = ("tfrobust", "tensorflow", "keras", "tf_keras", "numpy", "cleverhans", "larq")
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    versions["threads"] = str(threads())
    versions["onednn"] = "on" if onednn() else "off"
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def onednn() -> bool:
    """Tell whether TensorFlow computes with oneDNN's kernels on the CPU.

    They sum in another order than its own. `TF_ENABLE_ONEDNN_OPTS` says which, before TensorFlow is
    imported.
    """
    return bool(_pywrap_util_port.IsMklEnabled())


def threads() -> int:
    """Return how many threads an operation is spread over on the CPU, as TensorFlow decides it.

    Sums are split by it, so that weights and figures are the same bit for bit only where it is.
    `TF_NUM_INTRAOP_THREADS` sets it; without that there is one for each core that may be used.
    """
    try:
        declared = int(os.environ.get("TF_NUM_INTRAOP_THREADS", ""))
    except ValueError:
        declared = 0
    in_use = tf.config.threading.get_intra_op_parallelism_threads()
    return in_use or max(declared, 0) or usable_cores()
