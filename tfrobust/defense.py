"""The `Defense` contract: a classifier in, a classifier out."""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier
from tfrobust.options import refuse_former_names
from tfrobust.scenario import Scenario
from tfrobust.types import KerasModel

if TYPE_CHECKING:
    from tfrobust.training.trainer import Trainer

Change = Literal["weights", "start", "head", "input", "randomness"]
Changes = frozenset[Change]
Need = Literal["network", "classes"]
NOTHING: Changes = frozenset()
NEW_WEIGHTS: Changes = frozenset({"start"})
ANY_TRAINING: Changes = frozenset({"weights", "start"})


class Stage(enum.StrEnum):
    """When a defence acts, and what it trains."""

    TRAINING = "training"  # it trains the classifier itself: no ordinary training precedes it
    FINE_TUNING = "fine-tuning"  # it trains the classifier further, after its ordinary training
    AUXILIARY = "auxiliary"  # it trains a network of its own around the frozen classifier
    INFERENCE = "inference"  # it trains nothing


TRAINS_NETWORK = (Stage.TRAINING, Stage.FINE_TUNING)
_FORMER_FLAGS = {
    "trains": "`stage = Stage.TRAINING` (`from tfrobust import Stage`)",
    "tunes": "`stage = Stage.FINE_TUNING` (`from tfrobust import Stage`)",
    "learns": "`stage = Stage.AUXILIARY` (`from tfrobust import Stage`)",
    "adapts": "`changes_classes = True`",
}


@dataclasses.dataclass(frozen=True)
class Defended:
    """What a defence returns.

    Attributes:
        classifier: the defended classifier.
        found: what was measured when the defence was applied, for the card: plain JSON values by
            name, such as `{"label_accuracy": 0.97}`.
    """

    classifier: Classifier
    found: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class Defense(abc.ABC):
    """Makes a classifier harder to fool; its fields are its options.

    What comes out is again a `Classifier`, so defences chain, are attacked through and export as
    one SavedModel.

    Attributes:
        stage: when it acts, and what it trains; by default nothing. After `Stage.AUXILIARY` the
            defended classifier has the trained Keras model as its attribute `model` and the
            classifier that was defended as `inner`; see `restore` too.
        changes_classes: whether the defended classifier has the scenario's classes, whatever
            those of the classifier are.
        undone_by: the later changes that undo it, which are refused before any training. `None`:
            nobody knows. Then nothing is refused, but what it `found` is no longer recorded once a
            later defence changes weights.
    """

    stage: ClassVar[Stage] = Stage.INFERENCE
    changes_classes: ClassVar[bool] = False
    undone_by: ClassVar[Changes | None] = None

    def __init_subclass__(cls, **given: Any) -> None:
        """Refuse the flags of an earlier release.

        Raises:
            PluginError: says what to write instead.
        """
        super().__init_subclass__(**given)
        refuse_former_names(cls, "a defence", _FORMER_FLAGS)

    @property
    def changes(self) -> Changes:
        """What `apply` changes of a classifier; decides what may come before.

        `weights`: it moves them from where they are; `start`: it begins with new ones; `head`: it
        adds or replaces classes; `input`: the classifier is shown other images; `randomness`: it
        answers at random. By default the weights where it trains them, the input where it trains a
        network of its own, and everything but the weights where it trains nothing.
        """
        if self.stage in TRAINS_NETWORK:
            return frozenset({"weights"})
        if self.stage is Stage.AUXILIARY:
            return frozenset({"input"})
        return frozenset({"head", "input", "randomness"})

    @property
    def needs(self) -> frozenset[Need]:
        """What it needs of a classifier that an earlier defence may have taken away.

        `network`: the Keras network with nothing around it, by default where it trains that;
        `classes`: those of the scenario, and no more.
        """
        return frozenset({"network"} if self.stage in TRAINS_NETWORK else ())

    @property
    def wraps(self) -> bool:
        """Whether something is put around the network; by default unless it trains that."""
        return self.stage not in TRAINS_NETWORK

    @property
    def fits(self) -> bool:
        """Whether `apply` fits any weights, so that applying it again takes a training."""
        return self.stage is not Stage.INFERENCE

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """The attacks of somebody who knows this defence; by default none.

        `evaluate --adaptive` runs them beside the attacks that are asked for. They follow the
        `surrogate`, and average several draws of a random classifier.
        """
        return ()

    def surrogate(self, defended: Classifier) -> Classifier | None:
        """Return the classifier whose gradients an attacker follows who knows this defence.

        Backward pass differentiable approximation (Athalye, Carlini & Wagner 2018): an
        approximation where there is no gradient, a smooth or straight-through one where it
        misleads. White-box attacks follow it where `defended` is not differentiable, and else only
        those of `evaluate --adaptive`.

        Args:
            defended: what `apply` returned. Its `inner` is already what an attacker follows of the
                classifier inside, so that surrogates of chained defences compose.

        Returns:
            A classifier close to `defended`; `None`: its own gradients are right. By default the
            surrogate that it carries.
        """
        return defended.surrogate

    def check(self, classifier: Classifier, scenario: Scenario) -> None:  # noqa: B027
        """Refuse a classifier that `apply` would refuse, before hours of training; by default none.

        Called on the network as it was built, for every defence up to the first that does not
        train: what the later ones will be given does not exist yet. Nothing may be changed here,
        and `apply` must refuse by itself too: it is also called on classifiers that were loaded.

        Args:
            classifier: untrained.
            scenario: the data.

        Raises:
            UsageError: it can never be defended this way; the text says what to do.
        """

    def summary_totals(self, classifier: Classifier, found: Mapping[str, Any]) -> dict[str, str]:
        """Return lines that this defence adds to a classifier's summary; by default none.

        Args:
            classifier: the classifier that is shown, with this defence among its own.
            found: what `apply` measured, from the classifier's record.

        Returns:
            What → how much, such as `{"compressed": "0.12 MB"}`.
        """
        return {}

    @abc.abstractmethod
    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return the defended classifier, and what was measured on the way.

        Args:
            classifier: what to defend: untrained in `Stage.TRAINING` where nothing came before.
            scenario: the data.
            trainer: the training loop, with the user's epochs, seed and strategy.

        Example:
            >>> return Defended(Blurred(classifier, self.size))
        """

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Return what `apply` did, from the model it trained.

        Of `Stage.AUXILIARY`; and of a defence that trains the network and then `wraps` it.

        Args:
            classifier: what was defended; the trained network, where that was trained.
            model: the Keras model, loaded from a file.

        Raises:
            ClassifierError: the model was trained for other images.
        """
        raise NotImplementedError(
            f"{type(self).__name__} trains a model of its own and defines no restore"
        )
