"""tfrobust: train, attack, evaluate and export TensorFlow image classifiers.

Importing this package imports no TensorFlow. It makes `tf.keras` resolve to Keras 2 (`tf_keras`)
unless the environment says otherwise, because Larq and CleverHans need that. Where TensorFlow came
first it leaves `tf.keras` alone: half of TensorFlow has chosen its Keras by then, and a variable
that is set later would move the other half.

It also asks TensorFlow for the kernels of oneDNN, which TensorFlow by itself takes only on newer
processors than those of AVX2: on these a LeNet's gradient is three times as fast with them.
"""

import os
import sys
from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.adaptive import AdaptiveAttack
    from tfrobust.attack import Attack, GradientAttack, RegionalAttack, Threat
    from tfrobust.certification import certify
    from tfrobust.certifier import Certificates, Certifier
    from tfrobust.classifier import Classifier, Wrapped
    from tfrobust.classifiers.keras.classifier import KerasClassifier
    from tfrobust.classifiers.saved_model.classifier import SavedModelClassifier
    from tfrobust.defense import Defended, Defense, Stage
    from tfrobust.detector import Detector, FittedDetector
    from tfrobust.engine.run import run_attack
    from tfrobust.evaluation.evaluator import evaluate
    from tfrobust.model import ModelBuilder
    from tfrobust.options import option, plugin
    from tfrobust.pipeline.build import train
    from tfrobust.pipeline.stored_training import train_and_store
    from tfrobust.registry import create
    from tfrobust.scenario import BatchShift, Scenario, Shift
    from tfrobust.store.models import export, load
    from tfrobust.tracker import TrackedRun, Tracker
    from tfrobust.training.trainer import Trainer, TrainingOptions

if "tensorflow" not in sys.modules:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # no effect where a build has none

# For one release, `tfrobust.loop` and five others are found under their former names.
__path__.append(os.path.join(os.path.dirname(__file__), "former_names"))

__version__ = "0.1.0"

__all__ = [
    "AdaptiveAttack",
    "Attack",
    "BatchShift",
    "Certificates",
    "Certifier",
    "Classifier",
    "Defended",
    "Defense",
    "Detector",
    "FittedDetector",
    "GradientAttack",
    "KerasClassifier",
    "ModelBuilder",
    "RegionalAttack",
    "SavedModelClassifier",
    "Scenario",
    "Shift",
    "Stage",
    "Threat",
    "TrackedRun",
    "Tracker",
    "Trainer",
    "TrainingOptions",
    "Wrapped",
    "certify",
    "create",
    "evaluate",
    "export",
    "load",
    "option",
    "plugin",
    "run_attack",
    "train",
    "train_and_store",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "adaptive": ("AdaptiveAttack",),
        "attack": ("Attack", "GradientAttack", "RegionalAttack", "Threat"),
        "certification": ("certify",),
        "certifier": ("Certificates", "Certifier"),
        "classifier": ("Classifier", "Wrapped"),
        "classifiers.keras.classifier": ("KerasClassifier",),
        "defense": ("Defended", "Defense", "Stage"),
        "detector": ("Detector", "FittedDetector"),
        "engine": ("run_attack",),
        "evaluation": ("evaluate",),
        "model": ("ModelBuilder",),
        "options": ("option", "plugin"),
        "pipeline": ("train", "train_and_store"),
        "registry": ("create",),
        "classifiers.saved_model.classifier": ("SavedModelClassifier",),
        "scenario": ("BatchShift", "Scenario", "Shift"),
        "store": ("export", "load"),
        "tracker": ("TrackedRun", "Tracker"),
        "training": ("Trainer", "TrainingOptions"),
    },
)
