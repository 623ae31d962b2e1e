"""From an architecture to a trained and defended classifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfrobust.classifier import AppliedDefense, Classifier
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import check_fits
from tfrobust.defense import Defense
from tfrobust.errors import UsageError
from tfrobust.model import ModelBuilder
from tfrobust.pipeline.defense_order import check_order, outlived
from tfrobust.pipeline.deployed import Deployed
from tfrobust.registry import signature
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer


def train(
    model: ModelBuilder | Deployed,
    scenario: Scenario,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
) -> Classifier:
    """Build, train and defend a classifier; nothing is stored.

    Ordinary training comes first unless the first defence trains the classifier itself. What is
    deployed is not trained at all.

    Returns:
        The classifier, outermost defence last.

    Raises:
        UsageError: a defence refuses the network, or undoes an earlier one; said before any
            training where it can be known.
        ClassifierError: what is deployed does not fit the scenario.

    Example:
        >>> train(create("models", "lenet"), create("scenarios", "digits"),
        ...       Trainer(TrainingOptions(epochs=5)), [create("defenses", "pgd_training")])
    """
    import keras

    check_order(defenses)
    keras.utils.set_random_seed(trainer.options.seed)
    if isinstance(model, Deployed):
        adapts = bool(defenses) and defenses[0].adapts
        check_fits(model.classifier, scenario, model.name, classes=not adapts)
        _check(_only_training(defenses), model.classifier, scenario)
        return defended(model.classifier, defenses, scenario, trainer)
    with trainer.strategy.scope():
        built = model.build(scenario.image_shape, scenario.num_classes)
    classifier: Classifier = KerasClassifier(built, class_names=scenario.class_names)
    classifier.stochastic = answers_differ(classifier)
    _check(defenses, classifier, scenario)
    if not (defenses and defenses[0].trains):
        trainer.fit(classifier, scenario)
    return defended(classifier, defenses, scenario, trainer)


def _only_training(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse those that train nothing, or train from the beginning."""
    for defense in defenses:
        if defense.trains or not defense.fits:
            what = "the classifier from the beginning" if defense.trains else "nothing"
            raise UsageError(
                f"only: {signature(defense)['name']} trains {what}; expected a defence that "
                "trains beside a finished classifier or trains it further, such as calibrater"
            )
    return defenses


def _check(defenses: Sequence[Defense], classifier: Classifier, scenario: Scenario) -> None:
    """Let defences refuse an untrained network, up to the first that wraps it."""
    for defense in defenses:
        defense.check(classifier, scenario)
        if defense.wraps:
            break


def defended(
    classifier: Classifier, defenses: Sequence[Defense], scenario: Scenario, trainer: Trainer
) -> Classifier:
    """Apply defences in their order, and record them in what comes out.

    Raises:
        UsageError: one undoes an earlier one, or cannot follow it; said before any is applied.
    """
    check_order(defenses, classifier.defenses)
    for place, defense in enumerate(defenses):
        classifier.found = {}  # of the one before
        kept = outlived(classifier.defenses, defenses[:place], defense)
        after = defense.apply(classifier, scenario, trainer)
        classifier = recorded(defense, classifier, after, kept=kept)
    return classifier


def recorded(
    defense: Defense,
    before: Classifier,
    after: Classifier,
    *,
    kept: Sequence[AppliedDefense] | None = None,
) -> Classifier:
    """Return what a defence made of a classifier, with the defence among its own.

    Args:
        defense: that was applied.
        before: what it was applied to.
        after: what came out.
        kept: what is still true of earlier ones; by default all that is recorded of them.
    """
    applied = AppliedDefense(**signature(defense), found=_plain(after.found))
    after.defenses = (*(before.defenses if kept is None else kept), applied)
    return after


def _plain(found: Any) -> Any:
    """Return dicts and lists as such: TensorFlow wraps what is an attribute of its modules."""
    if isinstance(found, Mapping):
        return {name: _plain(value) for name, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list) else found


def untrained(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse one that would train anything.

    Raises:
        UsageError: naming it.
    """
    for defense in defenses:
        what = "a network of its own" if defense.learns else "the classifier"
        if defense.fits:
            raise UsageError(
                f"defense {signature(defense)['name']} trains {what}; give it to `tfrobust train`"
            )
    return defenses
