"""Larq builds on `tf.keras`, which must be Keras 2: on Keras 3 its layers train unquantized."""

from __future__ import annotations

import tensorflow as tf

from tfrobust.errors import PluginError


def check_legacy_keras() -> None:
    """Refuse to go on where `tf.keras` is Keras 3.

    Raises:
        PluginError: TensorFlow was imported before the variable was set; too late to mend here.
    """
    if tf.keras.__name__.startswith("keras."):
        raise PluginError(
            "Larq needs Keras 2, and TensorFlow was imported without it: set TF_USE_LEGACY_KERAS=1 "
            "in the environment, or import tfrobust before TensorFlow"
        )


check_legacy_keras()
