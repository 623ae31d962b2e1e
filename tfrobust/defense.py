"""The `Defense` contract: a classifier in, a classifier out."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tfrobust.classifier import Classifier
from tfrobust.scenario import Scenario

if TYPE_CHECKING:
    from tfrobust.training.trainer import Trainer

Change = Literal["weights", "start", "head", "input", "randomness"]
Need = Literal["network", "classes"]


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
    def changes(self) -> frozenset[Change]:
        """What `apply` changes of a classifier; decides what may come before.

        `weights`: it moves them from where they are; `start`: it begins with new ones; `head`: it
        adds or replaces classes; `input`: the classifier is shown other images; `randomness`: it
        answers at random. By default the weights where it trains them, the input where it learns,
        and else everything but the weights.
        """
        if self.trains or self.tunes:
            return frozenset({"weights"})
        return frozenset({"input"} if self.learns else {"head", "input", "randomness"})

    @property
    def undone_by(self) -> frozenset[Change] | None:
        """Which later changes undo it, and are refused before any training.

        `None`, the default: nobody knows. Nothing is refused then, but what it `found` is no longer
        recorded once weights were changed behind it.
        """
        return None

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs of a classifier that an earlier defence may have taken away.

        `network`: the Keras network with nothing round it, by default where it trains that;
        `classes`: those of the scenario, and no more.
        """
        return frozenset({"network"} if self.trains or self.tunes else ())

    @property
    def wraps(self) -> bool:
        """Whether something stands round the network after it; by default unless it trains that."""
        return not (self.trains or self.tunes)

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
