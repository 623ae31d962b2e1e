"""What defences share that fine-tune a finished network."""

from __future__ import annotations

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.saved_model.classifier import SavedModelClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.reload import why_served
from tfrobust.scenario import Scenario
from tfrobust.training.task import TrainingTask
from tfrobust.training.trainer import Trainer


def check_tunable(classifier: Classifier, defense: str) -> KerasClassifier:
    """Return the classifier; refuse one that shows no Keras model to fine-tune.

    Raises:
        UsageError: naming the defence, and what the classifier is or why it shows none.
    """
    if isinstance(classifier, KerasClassifier):
        return classifier
    what = why_served(classifier) or (
        f"expected a Keras model, to train its layers; received: {described(classifier)}; give a "
        "name in the store, or a .keras file"
    )
    raise UsageError(f"{defense}: {what}")


def described(classifier: Classifier) -> str:
    """Describe a classifier that is not a Keras model, for a message.

    Example:
        >>> described(load("saved_models/d1/1"))
        'a SavedModel, which shows no layers'
    """
    inner = classifier.inner
    if isinstance(classifier, SavedModelClassifier) or isinstance(inner, SavedModelClassifier):
        return "a SavedModel, which shows no layers"
    if classifier.members:
        return f"several networks in one, each of which has a name: {', '.join(classifier.members)}"
    if inner is not None and classifier.defenses:
        return f"a network inside {classifier.defenses[-1].name}"
    return "a classifier of another kind"


def fine_tuned(
    classifier: KerasClassifier,
    scenario: Scenario,
    trainer: Trainer,
    *,
    epochs: int | None = None,
    learning_rate: float | None = None,
    task: TrainingTask | None = None,
) -> Classifier:
    """Return a fine-tuned copy of a network.

    Args:
        classifier: stays as it is.
        scenario: the data.
        trainer: the training loop.
        epochs: `None`: those of the trainer.
        learning_rate: `None`: that of the trainer.
        task: see `Trainer.fit`.
    """
    with trainer.strategy.scope():
        copy = copied(classifier)
    options = {"epochs": epochs, "learning_rate": learning_rate}
    options = {name: value for name, value in options.items() if value is not None}
    trainer.altered(**options).fit(copy, scenario, task)
    return copy
