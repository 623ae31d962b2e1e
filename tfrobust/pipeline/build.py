"""From an architecture to a trained and defended classifier."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tfrobust.classifier import AppliedDefense, Classifier, Wrapped
from tfrobust.classifiers.identity import answers_differ, probes
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import check_fits
from tfrobust.defense import Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.model import ModelBuilder
from tfrobust.pipeline.defense_order import check_order, defense_of, outlived
from tfrobust.pipeline.deployed import Deployed
from tfrobust.registry import signature
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Logits


def train(
    model: ModelBuilder | Deployed,
    scenario: Scenario,
    trainer: Trainer,
    defenses: Sequence[Defense] = (),
) -> Classifier:
    """Build, train and defend a classifier; nothing is stored.

    Ordinary training comes first unless the first defence trains the classifier itself. A deployed
    classifier is not trained at all.

    Returns:
        The classifier, outermost defence last.

    Raises:
        UsageError: a defence refuses the network, or undoes an earlier one; before any training
            where that can be known.
        ClassifierError: the deployed classifier does not fit the scenario.

    Example:
        >>> train(create("models", "lenet"), create("scenarios", "digits"),
        ...       Trainer(TrainingOptions(epochs=5)), [create("defenses", "pgd_training")])
    """
    import keras

    check_order(defenses)
    if isinstance(model, Deployed):
        keras.utils.set_random_seed(trainer.options.seed)
        new_classes = bool(defenses) and defenses[0].changes_classes
        check_fits(model.classifier, scenario, model.name, classes=not new_classes)
        _check(_only_training(defenses), model.classifier, scenario)
        return defended(model.classifier, defenses, scenario, trainer)
    classifier = built(model, scenario, trainer)
    _check(defenses, classifier, scenario)
    if not (defenses and defenses[0].stage is Stage.TRAINING):
        trainer.fit(classifier, scenario)
    return defended(classifier, defenses, scenario, trainer)


def built(model: ModelBuilder, scenario: Scenario, trainer: Trainer) -> Classifier:
    """Return an untrained classifier; the trainer's seed draws its weights.

    Args:
        model: the architecture.
        scenario: whose images and classes it is for.
        trainer: that is to train it.
    """
    import keras

    keras.utils.set_random_seed(trainer.options.seed)
    with trainer.strategy.scope():
        network = model.build(scenario.image_shape, scenario.num_classes)
    classifier = KerasClassifier(network, class_names=scenario.class_names)
    return classifier.replace(stochastic=answers_differ(classifier))


def _only_training(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse those that train nothing, or train from the beginning."""
    for defense in defenses:
        if defense.stage in (Stage.TRAINING, Stage.INFERENCE):
            from_scratch = defense.stage is Stage.TRAINING
            what = "the classifier from the beginning" if from_scratch else "nothing"
            raise UsageError(
                f"only: {signature(defense)['name']} trains {what}; expected a defence that "
                "trains a network around a finished classifier, or trains it further"
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
    """Apply defences in their order, and record them in the classifier.

    Raises:
        UsageError: one undoes an earlier one, or cannot follow it; before any is applied.
    """
    check_order(defenses, classifier.defenses)
    for place, defense in enumerate(defenses):
        kept = outlived(classifier.defenses, defenses[:place], defense)
        after = _applied(defense, classifier, scenario, trainer)
        classifier = recorded(defense, classifier, after, kept=kept)
    return classifier


def _applied(
    defense: Defense, classifier: Classifier, scenario: Scenario, trainer: Trainer
) -> Defended:
    """Apply a defence; one of before 0.2 returns a bare classifier, with an attribute `found`."""
    after: Any = defense.apply(classifier, scenario, trainer)
    if not isinstance(after, Classifier):
        return cast(Defended, after)
    warnings.warn(
        f"{type(defense).__name__}.apply: expected tfrobust.Defended(classifier); received: a bare "
        "classifier, which the next release refuses",
        DeprecationWarning,
        stacklevel=2,
    )
    found = _plain(vars(after).get("found", {}))
    if "found" in vars(after):
        del after.found  # a later defence may return the same classifier
    return Defended(after, found)


def _plain(found: Any) -> Any:
    """Return dicts and lists as such: TensorFlow wraps what is an attribute of its modules."""
    if isinstance(found, Mapping):
        return {name: _plain(value) for name, value in found.items()}
    return [_plain(value) for value in found] if isinstance(found, list) else found


def recorded(
    defense: Defense,
    before: Classifier,
    after: Defended,
    *,
    kept: Sequence[AppliedDefense] | None = None,
) -> Classifier:
    """Return the defended classifier, with the defence in its record and what attackers follow.

    Args:
        defense: that was applied.
        before: what it was applied to.
        after: what it returned.
        kept: records of earlier defences that still hold; by default all of them.
    """
    applied = AppliedDefense(
        **signature(defense), found=dict(after.found), adaptive=defense.adaptive
    )
    earlier = before.defenses if kept is None else kept
    surrogate = _followed(defense, after.classifier)
    defended = after.classifier.replace(defenses=(*earlier, applied), surrogate=surrogate)
    lost = surrogate is None and before.surrogate is not None
    return with_surrogate(defended) if lost and not isinstance(defended, Wrapped) else defended


def with_surrogate(network: Classifier) -> Classifier:
    """Return a network with the surrogate that the defences in its record declare for it.

    A copy of a network, or one that is loaded from a Keras file, does not carry it.

    Args:
        network: with nothing around it, so that its defences are those that train it.
    """
    for applied in network.defenses:
        plugin = defense_of(applied)
        if plugin is not None:
            network = network.replace(surrogate=plugin.surrogate(network))
    return network


def _followed(defense: Defense, defended: Classifier) -> Classifier | None:
    """Return what an attacker follows who knows a defence and all those inside; `None`: itself."""
    inner = defended.inner
    if not isinstance(defended, Wrapped) or inner is None or inner.surrogate is None:
        return defense.surrogate(defended)
    asked = _Asked(inner.surrogate)
    defended.around(asked)(probes(defended.image_shape, 2))
    if not asked.calls:  # it reaches the classifier inside by another way
        return defense.surrogate(defended)
    through = defended.around(inner.surrogate)
    return defense.surrogate(through) or through


class _Asked(Wrapped):
    """A classifier that counts how often it is called, outside of traces."""

    calls = 0

    def __call__(self, images: Images) -> Logits:
        self.calls += 1
        return self.inner(images)


def untrained(defenses: Sequence[Defense]) -> Sequence[Defense]:
    """Return the defences; refuse one that would train anything.

    Raises:
        UsageError: naming it.
    """
    for defense in defenses:
        what = "a network of its own" if defense.stage is Stage.AUXILIARY else "the classifier"
        if defense.fits:
            raise UsageError(
                f"defense {signature(defense)['name']} trains {what}; give it to `tfrobust train`"
            )
    return defenses
