"""Larq builds on `tf.keras`, which must be Keras 2: on Keras 3 its layers train unquantized."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import tensorflow as tf

from tfrobust.errors import PluginError


def check_legacy_keras() -> None:
    """Refuse to go on where `tf.keras` is Keras 3, or the module `tensorflow.keras` is.

    TensorFlow decides on the two apart: on the module when it is imported, on the attribute when it
    is first read. Larq uses both, so a variable set in between gives it half of each.

    Raises:
        PluginError: TensorFlow was imported before the variable was set; too late to change here.
    """
    if tf.keras.__name__.startswith("keras.") or not _module_is_legacy():
        raise PluginError(
            "Larq needs Keras 2, and TensorFlow was imported without it: set TF_USE_LEGACY_KERAS=1 "
            "in the environment, or import tfrobust before TensorFlow"
        )


def _module_is_legacy() -> bool:
    """Tell whether `import tensorflow.keras` means `tf_keras`; nothing is imported to find out."""
    spec = importlib.util.find_spec("tensorflow.keras")
    return spec is not None and "tf_keras" in Path(spec.origin or "").parts


check_legacy_keras()
