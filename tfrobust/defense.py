"""The `Defense` contract: a classifier in, a classifier out."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

from tfrobust.classifier import Classifier
from tfrobust.scenario import Scenario

if TYPE_CHECKING:
    from tfrobust.training import Trainer


class Defense(abc.ABC):
    """Makes a classifier harder to fool; its fields are its options.

    What comes out is again a `Classifier`, so defences chain, are attacked through and export as
    one SavedModel.

    Attributes:
        trains: the defence trains the classifier itself, so that no ordinary training precedes
            it.
    """

    trains: ClassVar[bool] = False

    @abc.abstractmethod
    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Classifier:
        """Return the defended classifier.

        Args:
            classifier: what to defend: untrained where `trains` and nothing came before.
            scenario: the data.
            trainer: the training loop, with the user's epochs, seed and strategy.
        """
