"""What defences share that train a finished network further."""

from __future__ import annotations

from tfrobust.classifier import Classifier, KerasClassifier, copied
from tfrobust.errors import UsageError
from tfrobust.scenario import Scenario
from tfrobust.training import Trainer
from tfrobust.training_steps import Perturb


def check_tunable(classifier: Classifier, defense: str) -> KerasClassifier:
    """Return the classifier; refuse one that shows no Keras model to train.

    Raises:
        UsageError: naming the defence.
    """
    if not isinstance(classifier, KerasClassifier):
        raise UsageError(
            f"{defense}: expected a Keras model; received: {type(classifier).__name__}"
        )
    return classifier


def tuned(
    classifier: KerasClassifier,
    scenario: Scenario,
    trainer: Trainer,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    perturb: Perturb | None = None,
) -> Classifier:
    """Return a copy of a network, trained further.

    Args:
        classifier: stays as it is.
        scenario: the data.
        trainer: whose options hold where none are given.
        epochs: of it.
        learning_rate: of it.
        perturb: see `Trainer.fit`.
    """
    with trainer.strategy.scope():
        copy = copied(classifier)
    given = {"epochs": epochs, "learning_rate": learning_rate}
    own = trainer.altered(**{name: value for name, value in given.items() if value is not None})
    own.fit(copy, scenario, perturb=perturb)
    return copy
