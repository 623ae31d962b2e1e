"""What defences share that fine-tune a finished network."""

from __future__ import annotations

from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.graph import trunk
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
    last_layer: bool = False,
) -> Classifier:
    """Return a fine-tuned copy of a network.

    Args:
        classifier: stays as it is.
        scenario: the data.
        trainer: the training loop.
        epochs: `None`: those of the trainer.
        learning_rate: `None`: that of the trainer.
        task: see `Trainer.fit`.
        last_layer: train only what reads the features, which stay as they are.

    Raises:
        ClassifierError: `last_layer` of a network whose last layer is not known.
    """
    with trainer.strategy.scope():
        copy = copied(classifier)
    if last_layer:
        _freeze_features(copy)
    options = {"epochs": epochs, "learning_rate": learning_rate}
    options = {name: value for name, value in options.items() if value is not None}
    trainer.altered(**options).fit(copy, scenario, task)
    return _with_its_weights(classifier, copy) if last_layer else copy


def _freeze_features(classifier: KerasClassifier) -> None:
    """Keep the layers below the last one out of trainings, moving averages among them."""
    for layer in trunk(classifier.model).layers:
        layer.trainable = False


def _with_its_weights(classifier: KerasClassifier, trained: KerasClassifier) -> KerasClassifier:
    """Return a copy of the classifier with a trained one's weights, and nothing frozen in it."""
    free = copied(classifier)
    free.model.set_weights(trained.model.get_weights())
    free.weights_changed()
    return free
