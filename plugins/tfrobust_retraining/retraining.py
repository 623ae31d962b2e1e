"""Retraining on adversarial images from the wild, which come without labels.

1. An attack is run on the network and its training images.
2. Each adversarial image gets the label of its nearest neighbours among the clean ones, in PCA
   space (`labels=knn`). One farther from everything than clean images are from each other is a
   *fooling image*, and goes into a new class, one of several that clustering finds, or nowhere.
3. The network is trained, further or from scratch, on clean and adversarial images.

Thakur, Ding & Li, "Evaluating a simple retraining strategy as a defense against adversarial
attacks" (2020). Departures: the paper names no threshold for fooling images; ours is the distance
within which `quantile` of the clean images have a neighbour. An image that the network knows lies
right beside what was made of it; `originals=unknown` asks the others, as in the wild, and what they
would say is recorded in any case. Of the retraining's epochs the last with the highest accuracy on
held-out images counts: of both kinds, unless the scenario has a validation split; the clean twin of
an adversarial one may be among those trained on. A shift is drawn once for each image.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.defense import NEW_WEIGHTS, Change, Changes, Defended, Defense, Stage
from tfrobust.engine.victim import victim_of
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin, record
from tfrobust.pipeline.fine_tuning import check_tunable, fine_tuned
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import TargetRule
from tfrobust_retraining.collected import Joined
from tfrobust_retraining.collecting import Collecting
from tfrobust_retraining.crafted_files import kept_folder
from tfrobust_retraining.options import Fooling, LabelSource, Originals, RetrainingOptions
from tfrobust_retraining.widening import add_classes, check_widens

# Options that only labels by neighbours have a use for.
_OF_NEIGHBOURS = ("originals", "k", "dimensions", "fooling", "clusters", "quantile", "new_class")


@plugin
class Retraining(Defense):
    """Attacks the network, labels the images by their neighbours, and trains on both kinds.

    Example:
        >>> seen = create("defenses", "retraining", attack="fgsm", options={"eps": 0.1})
        >>> seen.apply(classifier, scenario, Trainer()).found["label_accuracy"]
    """

    stage: ClassVar[Stage] = Stage.FINE_TUNING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    attack: str = option("attack whose images are collected: any attack plugin", default="gap")
    options: dict[str, Any] | None = option('options of the attack: {"eps": 0.04}', default=None)
    targets: TargetRule = option("target classes of a targeted attack", default="least_likely")
    adversarial_images: int | None = option(
        "number of adversarial images; none: one per training image", default=None, ge=1
    )
    labels: LabelSource = option(
        "labels from neighbours, original images or predictions",
        default="knn",
    )
    originals: Originals = option(
        "for `knn`: whether original images are possible neighbours",
        default="known",
    )
    k: int = option("number of neighbours that vote", default=1, ge=1)
    dimensions: int | None = option(
        "principal components of the search; none: 300 at most",
        default=None,
        ge=1,
    )
    fooling: Fooling = option(
        "for `knn`: put images unlike all known ones in a new class, in several, or leave them out",
        default="class",
    )
    clusters: int = option("number of new classes for `fooling=clusters`", default=2, ge=2)
    quantile: float = option(
        "quantile of distances between clean images beyond which an image is unlike all known ones",
        default=0.999,
        gt=0,
        le=1,
    )
    new_class: str = option("name of the new class, or prefix of several", default="fooling")
    start: Literal["weights", "scratch"] = option(
        "continue from the weights, or from scratch", default="weights"
    )
    epochs: int | None = option(
        "epochs of the retraining; none: those of the training", default=None, ge=0
    )
    learning_rate: float | None = option(
        "learning rate of the retraining; none: that of the training", default=None, gt=0
    )

    @property
    def changes(self) -> Changes:
        """The weights, from the beginning with `start=scratch`; and the head, for new classes."""
        changed: set[Change] = {"weights"}
        changed |= {"start"} if self.start == "scratch" else set()
        return frozenset(changed | ({"head"} if self.new_classes else set()))

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts on the new network; see `Defense`."""
        return long_ascent(
            "the attack is run again, on the new network: many steps from several starts",
            "Tramèr et al. 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a network that cannot be trained or given classes, and options that do not fit.

        Raises:
            UsageError: says which.
        """
        network = check_tunable(classifier, "retraining")
        self._check_meant()
        if self.new_classes:
            check_widens(network, instead="-p retraining.fooling=drop needs none")
            self._check_names(scenario)
        self._check_attack(network)

    @property
    def new_classes(self) -> tuple[str, ...]:
        """Names of the classes that fooling images may be put into."""
        if self.labels != "knn" or self.fooling == "drop":
            return ()
        if self.fooling == "class":
            return (self.new_class,)
        return tuple(f"{self.new_class} {number}" for number in range(1, self.clusters + 1))

    def _check_attack(self, network: Classifier) -> None:
        """Refuse an attack that cannot be run on this network's whole images."""
        attack = self.collected_attack()
        attack.check(network)
        victim_of(attack, network)
        if attack.corrective or attack.needs_boxes:
            why = "helps the classifier" if attack.corrective else "asks for boxes"
            raise UsageError(
                "retraining: attack: expected one that makes whole images harder to get right; "
                f"received: {self.attack!r}, which {why}; take another, such as pgd"
            )
        if attack.ignores_input and self.labels == "true":
            raise UsageError(
                f"retraining: labels: what {self.attack} makes shows nothing, so no label is true; "
                "take knn, which puts it into a class of its own"
            )
        if self.targets != type(self)().targets:
            _check_takes_targets(attack, self.attack)

    def _check_meant(self) -> None:
        """Refuse options that others leave without effect."""
        needed = {}
        if self.fooling != "clusters":
            needed["clusters"] = "fooling=clusters"
        if self.fooling == "drop":
            needed["new_class"] = "fooling=class or clusters"
        if self.labels != "knn":
            needed = dict.fromkeys(_OF_NEIGHBOURS, "labels=knn")
        given, defaults = record(self), record(type(self)())
        for name, other in needed.items():
            if given[name] != defaults[name]:
                raise UsageError(
                    f"retraining: {name}: has an effect with {other} only; leave it out"
                )

    def _check_names(self, scenario: Scenario) -> None:
        for name in self.new_classes:
            if not name.strip() or name in scenario.class_names:
                raise UsageError(
                    "retraining: new_class: expected a name that no class of the scenario has; "
                    f"received: {name!r}; give another: -p retraining.new_class=…"
                )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return a copy of the classifier, trained on clean and adversarial images; see `Defense`.

        Raises:
            UsageError: as `check` does; the attack breaks nothing; `k` or `dimensions` exceed what
                the training images have.
        """
        network = check_tunable(classifier, "retraining")
        with kept_folder(trainer) as folder:  # what is collected is read in every epoch
            options = self.collecting_options()
            more = Collecting(options, network, scenario, trainer, folder).collected()
            begun = network
            if more.new_classes:
                begun = add_classes(network, more.new_classes, seed=trainer.options.seed)
            if self.start == "scratch":
                begun = _anew(begun, trainer.options.seed)
            retrained = fine_tuned(
                begun,
                Joined(scenario, more),
                trainer,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
            )
        return Defended(retrained, more.figures)

    def collected_attack(self) -> Attack:
        """Return the attack whose images are collected.

        Raises:
            UsageError: there is no such attack or option.
        """
        attack: Attack = create("attacks", self.attack, **(self.options or {}))
        return attack

    def collecting_options(self) -> RetrainingOptions:
        """Return how adversarial images are crafted and labelled.

        Raises:
            UsageError: as `collected_attack`.
        """
        return RetrainingOptions(
            attack=self.collected_attack(),
            attack_name=self.attack,
            targets=self.targets,
            adversarial_images=self.adversarial_images,
            labels=self.labels,
            originals=self.originals,
            k=self.k,
            dimensions=self.dimensions,
            fooling=self.fooling,
            clusters=self.clusters,
            quantile=self.quantile,
            new_classes=self.new_classes,
        )


def _check_takes_targets(attack: Attack, called: str) -> None:
    """Refuse a rule for targets where an attack asks for none."""
    if not attack.threat.targeted or attack.target_class is not None:
        why = (
            "is not targeted"
            if attack.target_class is None
            else "was given one target for all images"
        )
        raise UsageError(f"retraining: targets: {called} {why}; leave it out")


def _anew(classifier: KerasClassifier, seed: int) -> KerasClassifier:
    """Return the same network with weights as before any training."""
    keras = keras_of(classifier.model)
    keras.utils.set_random_seed(seed)
    model = keras.models.clone_model(classifier.model)
    return KerasClassifier(
        model, class_names=classifier.class_names, stochastic=classifier.stochastic
    )
