"""The settings of an evaluation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypedDict

from tfrobust import suites
from tfrobust.attack import Attack
from tfrobust.certification.beside import check_beside
from tfrobust.certifier import Certifier
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.reading import check_fits
from tfrobust.detector import Detector
from tfrobust.engine.victim import check_knowledge
from tfrobust.errors import UsageError
from tfrobust.evaluation.blocks.block import BLOCK_SIZE
from tfrobust.evaluation.learned_attacks import check_files
from tfrobust.scenario import Scenario
from tfrobust.types import Budgets, TargetRule


class Progress(Protocol):
    """Shows how far long work is, such as a progress bar."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Show that `done` of `total` steps of `what` are finished."""


class EvaluationOptions(TypedDict, total=False):
    """The options of `EvaluationSettings` that have a default, as keyword arguments."""

    split: str
    limit: int | None
    crafted_on: tuple[str, Classifier] | None
    baselines: Sequence[Attack] | None
    detectors: Sequence[Detector]
    watched: Collection[str] | None
    targets: TargetRule
    seed: int
    batch_size: int
    block_size: int
    keep_images: bool
    diagnosis: bool
    adaptive: Budgets | None
    follows_surrogate: bool
    warm_start: bool
    certifiers: Sequence[Certifier]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationSettings:
    """What is evaluated, and how.

    Attributes:
        classifiers: name → classifier, one or more.
        scenario: where the images come from; attacks and detectors learn from its training split.
        attacks: in the order they are reported.
        split: of the scenario.
        limit: only the first `limit` images; `None`: all.
        crafted_on: name and classifier that the attacks see instead (transfer).
        baselines: noise to show beside the attacks; part of no worst case. `None`: that of
            `tfrobust.suites.baselines`; `()`: none.
        detectors: fitted on the training split and judged on the images attacked here.
        watched: names of the classifiers that detectors look at; `None`: all.
        targets: the rule that picks classes for targeted attacks.
        seed: decides everything random.
        batch_size: images at a time. It may change an image in its last bits, and decides what
            stochastic classifiers draw.
        block_size: images that are read, attacked by all attacks and forgotten before the next
            ones. An interruption loses at most one block. Figures do not depend on it as long as it
            is a multiple of `batch_size`, but for stochastic classifiers. Otherwise the last batch
            of each block is smaller, with the effect of another batch size.
        keep_images: return every adversarial image, which takes memory for each attack.
        diagnosis: look for signs of masked gradients too; of `run` alone.
        adaptive: attack each classifier by the adaptive attacks of its defences too, at these
            budgets, in the unit of their norm. `()`: at the budgets of `attacks`, in their norms.
            `None`: not. See `tfrobust.evaluation.adaptive`.
        follows_surrogate: attacks follow the surrogate that a classifier declares, even if it is
            differentiable.
        warm_start: a fixed-budget attack at several budgets goes on from the next smaller one: an
            image that is broken there is not attacked again. See `evaluation.curves.warm_starts`.
        certifiers: tell what is proven at the budgets of the attacks in their norm; of `evaluate`
            and `run` alone. See `tfrobust.certification.beside`.

    Raises:
        UsageError: there is no classifier, or a batch or a block has no image; adaptive attacks or
            warm starts would be crafted on another classifier.

    Example:
        >>> EvaluationSettings(classifiers={"d1": load("d1")}, limit=100,
        ...                    scenario=create("scenarios", "digits"),
        ...                    attacks=[create("attacks", "pgd", eps=0.1)])
    """

    classifiers: Mapping[str, Classifier]
    scenario: Scenario
    attacks: Sequence[Attack] = ()
    split: str = "test"
    limit: int | None = None
    crafted_on: tuple[str, Classifier] | None = None
    baselines: Sequence[Attack] | None = None
    detectors: Sequence[Detector] = ()
    watched: Collection[str] | None = None
    targets: TargetRule = "least_likely"
    seed: int = 0
    batch_size: int = BATCH_SIZE
    block_size: int = BLOCK_SIZE
    keep_images: bool = False
    diagnosis: bool = False
    adaptive: Budgets | None = None
    follows_surrogate: bool = False
    warm_start: bool = False
    certifiers: Sequence[Certifier] = ()

    def __post_init__(self) -> None:
        check_some(self.classifiers)
        if self.adaptive is not None and self.crafted_on:
            raise UsageError(
                "adaptive: expected attacks that are crafted on the classifier itself; leave out "
                "crafted_on (--crafted-on)"
            )
        if self.warm_start and self.crafted_on:
            raise UsageError(
                "warm_start: an image that breaks one classifier may not break another; leave out "
                "crafted_on (--crafted-on)"
            )
        check_sizes(self.batch_size, self.block_size)

    @property
    def attacked(self) -> dict[str, Classifier]:
        """The classifiers that the attacks see, by name."""
        if self.crafted_on:
            return dict([self.crafted_on])
        return {name: self.attacked_by(one) for name, one in self.classifiers.items()}

    def attacked_by(self, classifier: Classifier) -> Classifier:
        """Return the classifier that attacks on this one see."""
        if self.crafted_on:
            return self.crafted_on[1]
        return self._following.get(classifier, classifier)

    @functools.cached_property
    def _following(self) -> dict[Classifier, Classifier]:
        """The classifiers that are followed by their surrogates, though they have gradients."""
        if not self.follows_surrogate:
            return {}
        return {
            classifier: classifier.replace(differentiable=False)
            for classifier in self.classifiers.values()
            if classifier.differentiable and classifier.surrogate is not None
        }

    def watches(self, name: str) -> bool:
        """Tell whether detectors look at the classifier of this name."""
        return bool(self.detectors) and (self.watched is None or name in self.watched)

    @property
    def crafted_on_name(self) -> str | None:
        """The name of the one classifier that the attacks see instead, if there is one."""
        return self.crafted_on[0] if self.crafted_on else None


def checked(settings: EvaluationSettings) -> EvaluationSettings:
    """Return settings that name all their attacks, after checking that everything fits together.

    Raises:
        UsageError: a file of something learned that does not fit, a certifier that says nothing
            of what is attacked, or an attack that needs gradients or scores where there are none.
        ClassifierError: a classifier does not fit the scenario.
    """
    scenario, attacks = settings.scenario, settings.attacks
    for name, classifier in (*settings.classifiers.items(), *settings.attacked.items()):
        check_fits(classifier, scenario, name)
    for classifier in settings.attacked.values():
        for attack in attacks:
            check_knowledge(attack, classifier)
    baselines = settings.baselines
    if baselines is None:
        baselines = suites.baselines(attacks)
    check_files(attacks, list(settings.attacked.values()))
    adaptive = settings.adaptive is not None
    check_beside(settings.certifiers, settings.classifiers, attacks, adaptive=adaptive)
    return dataclasses.replace(settings, baselines=tuple(baselines))


def reporter(
    progress: Progress | None, what: str, total: int, start: int = 0
) -> Callable[[int], None] | None:
    """Return what tells `progress` how many images are done, of those behind `start`."""
    if progress is None:
        return None
    progress(what, start, total)
    return lambda done: progress(what, start + done, total)


def check_some(classifiers: Mapping[str, Classifier]) -> None:
    """Refuse an evaluation of no classifier.

    Raises:
        UsageError: there is none.
    """
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")


def check_sizes(batch_size: int, block_size: int) -> None:
    """Refuse batches or blocks of no image.

    Raises:
        UsageError: which of the two.
    """
    for name, size in (("batch_size", batch_size), ("block_size", block_size)):
        if size < 1:
            raise UsageError(f"{name}: expected 1 or more; received: {size}")
