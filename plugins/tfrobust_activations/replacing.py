"""What defences share that train a network with other activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.defense import NEW_WEIGHTS, Changes, Defense, Stage
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.registry import name_of
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasLayer
from tfrobust_activations.estimated import Estimated
from tfrobust_activations.replaced import check_replaceable, with_activations


class ReplacesActivations(Defense):
    """Trains a copy of a network whose gradients say little; attackers estimate them."""

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a network without activation functions to replace; see `Defense`.

        Raises:
            UsageError: says what it is or lacks.
        """
        check_replaceable(check_tunable(classifier, name_of(self)), name_of(self))

    def replaced(
        self,
        classifier: Classifier,
        scenario: Scenario,
        trainer: Trainer,
        activation: Callable[[str], KerasLayer],
    ) -> KerasClassifier:
        """Return a copy of a network with other activation functions, still to be trained.

        Args:
            classifier: of the network.
            scenario: the data.
            trainer: under whose strategy the copy is made.
            activation: name → the layer that stands for one activation function.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            return with_activations(check_tunable(classifier, name_of(self)), activation)

    def surrogate(self, defended: Classifier) -> Classifier:
        """Return the classifier with a gradient estimated from differences; see `Defense`."""
        return Estimated(defended)
