"""Which variables of this process's environment its workers have too.

A worker of a cluster starts with the environment of the machine's Ray, not with that of the shell
in which the command was given. Without these it would look for data and classifiers elsewhere, or
compute otherwise.
"""

from __future__ import annotations

import os
from pathlib import Path

from tfrobust.environment.allocator import most_heaps
from tfrobust.files.archives import UNPACK_LIMIT
from tfrobust.store.layout import store_root

_SAME = (
    UNPACK_LIMIT,
    "KERAS_BACKEND",
    "TF_USE_LEGACY_KERAS",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "MALLOC_ARENA_MAX",
)


def worker_environment(threads: int) -> dict[str, str]:
    """Return the variables that workers are started with.

    Args:
        threads: of each worker.

    Example:
        >>> worker_environment(2)["TF_NUM_INTRAOP_THREADS"]
        '2'
    """
    variables = {name: os.environ[name] for name in _SAME if name in os.environ}
    variables["TFROBUST_MODELS"] = str(store_root().absolute())
    if data := os.environ.get("TFDS_DATA_DIR"):
        # An address, such as `gs://bucket`, is the same everywhere.
        variables["TFDS_DATA_DIR"] = data if "://" in data else _absolute(data)
    variables.setdefault("MALLOC_ARENA_MAX", str(most_heaps(threads)))
    variables["TF_NUM_INTRAOP_THREADS"] = str(threads)  # read when TensorFlow is imported
    return variables


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
