"""tfrobust: train, attack, evaluate and export TensorFlow image classifiers.

Importing this package imports no TensorFlow. It makes `tf.keras` resolve to Keras 2 (`tf_keras`)
unless the environment says otherwise, because Larq and CleverHans need that and TensorFlow reads
the variable only once, when it is imported.
"""

import importlib
import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"

_HOME = {
    "Attack": "attack",
    "Classifier": "classifier",
    "Defense": "defense",
    "Detector": "detector",
    "KerasClassifier": "classifier",
    "ModelBuilder": "model",
    "SavedModelClassifier": "classifier",
    "Scenario": "scenario",
    "Shift": "scenario",
    "Threat": "attack",
    "Trainer": "training",
    "create": "registry",
    "evaluate": "evaluation",
    "export": "store",
    "load": "store",
    "option": "options",
    "plugin": "options",
    "run_attack": "engine",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import tfrobust` stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'tfrobust' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tfrobust.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
