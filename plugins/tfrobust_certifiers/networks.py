"""The Keras network whose layers are bounded."""

from __future__ import annotations

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.fine_tuning import described
from tfrobust.pipeline.reload import why_served
from tfrobust.types import KerasModel


def model_of(classifier: Classifier, certifier: str) -> KerasModel:
    """Return the Keras model that a classifier is.

    Args:
        classifier: a Keras network with nothing around it.
        certifier: who asks, for messages.

    Raises:
        UsageError: it is something else, or answers at random.
    """
    if not isinstance(classifier, KerasClassifier):
        what = why_served(classifier) or (
            "expected a Keras network, whose layers are bounded; received: "
            f"{described(classifier)}; give a name in the store, or a .keras file"
        )
        raise UsageError(f"{certifier}: {what}")
    if classifier.stochastic:
        raise UsageError(
            f"{certifier}: expected a network that gives the same answer each time; received: one "
            "that draws at random; smoothing certifies those"
        )
    return classifier.model
