"""Finished classifiers that defences are trained for, and what a training starts from."""

from __future__ import annotations

import dataclasses

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.model import ModelBuilder
from tfrobust.registry import signature
from tfrobust.scenario import Scenario


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A finished classifier that defences are trained for; it stays as it is.

    Attributes:
        name: what it was loaded by.
        classifier: itself.
        known_as: what identifies it in the plan of a training; `None`: the place that it was
            loaded from.
    """

    name: str
    classifier: Classifier
    known_as: str | None = None


def as_built(model: ModelBuilder, scenario: Scenario) -> Deployed:
    """Return a network as it is built, with the weights that it starts from, as a finished one.

    Args:
        model: the architecture; its option `weights` names the weights.
        scenario: whose image shape and classes it is built for.

    Raises:
        DataError: the weights cannot be read, or do not fit.
    """
    plugin = signature(model)
    files = "".join(f" {name} {digest}" for name, digest in model.files.items())
    network = KerasClassifier(model.build(scenario.image_shape, scenario.num_classes))
    return Deployed(plugin["name"], network, known_as=f"{plugin['name']} {plugin['params']}{files}")
