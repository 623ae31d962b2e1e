"""The `Defense` contract: a classifier in, a classifier out."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar

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
        tunes: the defence trains the classifier further, after its ordinary training.
        learns: the defence trains a Keras model of its own and leaves the classifier as it is.
            What comes out has that model as its attribute `model` and the classifier as `inner`.
        adapts: what comes out has the scenario's classes, whatever those of the classifier are.
    """

    trains: ClassVar[bool] = False
    tunes: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    adapts: ClassVar[bool] = False

    @property
    def fits(self) -> bool:
        """Whether `apply` fits any weights, so that it is no matter of a moment to apply again."""
        return self.trains or self.tunes or self.learns

    def check(self, classifier: Classifier, scenario: Scenario) -> None:  # noqa: B027
        """Refuse a classifier that `apply` would refuse, before hours of training; by default none.

        Called on the network as it was built, for every defence up to the first that does not
        train: what those behind it will be given does not exist yet. Nothing may be changed here,
        and `apply` must refuse by itself too: it is also called on classifiers that were loaded.

        Args:
            classifier: untrained.
            scenario: the data.

        Raises:
            UsageError: it can never be defended this way; the text says what to do.
        """

    @abc.abstractmethod
    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Classifier:
        """Return the defended classifier.

        Args:
            classifier: what to defend: untrained where `trains` and nothing came before.
            scenario: the data.
            trainer: the training loop, with the user's epochs, seed and strategy.
        """

    def restore(self, classifier: Classifier, model: Any) -> Classifier:
        """Return what `apply` did, from the model it trained; of a defence that `learns`.

        Args:
            classifier: what was defended.
            model: the Keras model, loaded from a file.

        Raises:
            ClassifierError: the model was trained for other images.
        """
        raise NotImplementedError(f"{type(self).__name__} learns, and defines no restore")
