"""The settings of an evaluation, and what is loaded once for all of it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypedDict

import numpy as np

from tfrobust import suites
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import BATCH_SIZE
from tfrobust.data.reading import arrays, check_fits
from tfrobust.detector import Detector
from tfrobust.engine.object_boxes import boxes_for
from tfrobust.errors import UsageError
from tfrobust.evaluation.learned_attacks import check_files
from tfrobust.scenario import Scenario
from tfrobust.types import Boxes, Images, Labels, TargetRule


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
    keep_images: bool


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
        batch_size: images at a time.
        keep_images: return every adversarial image, which takes memory for each attack.

    Raises:
        UsageError: there is no classifier, or a batch has no image.

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
    keep_images: bool = False

    def __post_init__(self) -> None:
        check_some(self.classifiers)
        if self.batch_size < 1:
            raise UsageError(f"batch_size: expected 1 or more; received: {self.batch_size}")

    @property
    def attacked(self) -> dict[str, Classifier]:
        """The classifiers that the attacks see, by name."""
        return dict([self.crafted_on] if self.crafted_on else self.classifiers)

    @property
    def crafted_on_name(self) -> str | None:
        """The name of the one classifier that the attacks see instead, if there is one."""
        return self.crafted_on[0] if self.crafted_on else None


@dataclasses.dataclass(frozen=True)
class EvaluationInputs:
    """The settings of an evaluation, and the images that all its classifiers and attacks share.

    Attributes:
        settings: of the evaluation.
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        baselines: the noise to show beside the attacks.
        boxes: float32 `(n, most, 4)`, if an attack needs them; see `tfrobust.data.boxes.padded`.
        progress: receives how far an attack is.
    """

    settings: EvaluationSettings
    images: Images
    labels: Labels
    baselines: Sequence[Attack] = ()
    boxes: Boxes | None = None
    progress: Progress | None = None

    @functools.cached_property
    def examples(self) -> np.ndarray:
        """The indices of the images whose adversarial versions every result keeps."""
        return choose_examples(self.labels)

    @property
    def keeps_images(self) -> bool:
        """Whether all images of an attack are kept until a classifier is judged."""
        return self.settings.keep_images or bool(self.settings.detectors)


def load_inputs(settings: EvaluationSettings, progress: Progress | None = None) -> EvaluationInputs:
    """Load the images of an evaluation, after checking that everything fits together.

    Args:
        settings: of the evaluation.
        progress: receives how far each attack is.

    Raises:
        UsageError: an unknown split, a file of something learned that does not fit, a region of
            images without boxes.
        ClassifierError: a classifier does not fit the scenario.
        DataError: the scenario's images or boxes break the contract.
    """
    scenario, attacks = settings.scenario, settings.attacks
    for name, classifier in (*settings.classifiers.items(), *settings.attacked.items()):
        check_fits(classifier, scenario, name)
    baselines = settings.baselines
    if baselines is None:
        baselines = suites.baselines(attacks)
    check_files(attacks, list(settings.attacked.values()))
    images, labels = arrays(scenario, settings.split, settings.limit)
    boxes = boxes_for([*attacks, *baselines], scenario, settings.split, settings.limit)
    return EvaluationInputs(settings, images, labels, baselines, boxes, progress)


def check_some(classifiers: Mapping[str, Classifier]) -> None:
    """Refuse an evaluation of no classifier.

    Raises:
        UsageError: there is none.
    """
    if not classifiers:
        raise UsageError("classifiers: expected one or more; received: none")


def choose_examples(labels: Labels, most: int = 8) -> np.ndarray:
    """Return the indices of up to `most` images, of as many classes as there are."""
    firsts = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), firsts)
    return np.concatenate([np.sort(firsts), others])[:most]
