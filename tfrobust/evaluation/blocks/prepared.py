"""What all blocks of an evaluation need, computed once in each process."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import SHOWN, identity
from tfrobust.classifiers.random_state import reseed
from tfrobust.data.block_reader import BlockReader
from tfrobust.data.spooled import content_of, spooled
from tfrobust.engine.learning import Learned, LearningAttack, learned, read_learned, remembered
from tfrobust.engine.targets import Portion, choose_targets, reachable
from tfrobust.evaluation.blocks.block import BLOCK_SIZE, BlockImages
from tfrobust.evaluation.detection import ReadyDetector, ready_detectors
from tfrobust.evaluation.fitting_images import AttackedTraining, attack_training, audited_training
from tfrobust.evaluation.settings import EvaluationSettings, Progress, reporter
from tfrobust.options import has_option
from tfrobust.registry import name_of, signature
from tfrobust.types import Flags, Images, Labels

MOST_TO_FIT = 10_000  # training images that a detector learns from


class Prepared:
    """Attacks that have learned, fitted detectors, and what classifiers are known by.

    Args:
        settings: of the evaluation.
        images: how many are evaluated. As many training images are attacked for detectors to learn
            from, up to `MOST_TO_FIT`.
        progress: receives how far an attack is that learns.
        files: where lies what another process has learned already, by classifier and attack.
        training_content: see below, where another process knows it already.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        images: int,
        progress: Progress | None = None,
        *,
        files: Mapping[tuple[Classifier, Attack], Path] | None = None,
        training_content: str = "",
    ) -> None:
        self._settings, self._images, self._progress = settings, images, progress
        self._files, self._training_content = files or {}, training_content
        self._learned: dict[tuple[Classifier, Attack], Learned] = {}
        self._training: dict[tuple[Classifier, Attack], AttackedTraining] = {}
        self._detectors: dict[tuple[Classifier, Classifier, Attack], list[ReadyDetector]] = {}
        self._reachable: dict[Classifier, Flags] = {}
        self._identities: dict[Classifier, bytes] = {}

    @functools.cached_property
    def _shown(self) -> Images:
        """The first images of the evaluation, by which classifiers are told apart in each block."""
        return next(self._first(min(self._images, SHOWN)))

    def _first(self, at_once: int) -> Iterator[Images]:
        """Yield the first 1,024 images of the evaluation, so many at once; none of them is kept."""
        settings, count = self._settings, min(self._images, BLOCK_SIZE)
        reader = BlockReader(settings.scenario, settings.split, count, at_once)
        for start in range(0, count, at_once):
            yield reader.read(start).images

    def identity(self, classifier: Classifier) -> bytes:
        """Return what tells a classifier from others; see `classifiers.identity`."""
        if classifier not in self._identities:
            reseed(classifier, "identity")
            self._identities[classifier] = identity(classifier, self._shown)
        return self._identities[classifier]

    def ready(self, attack: Attack, classifier: Classifier) -> Attack:
        """Return an attack that learns fitted to training images, and any other as it is."""
        if not isinstance(attack, LearningAttack):
            return attack
        key = classifier, attack
        if key not in self._learned:
            place = self._files.get(key)
            kept = remembered(attack, place) if place else None
            self._learned[key] = kept or self._learn(attack, classifier)
        return self._learned[key]

    def _learn(self, attack: LearningAttack, classifier: Classifier) -> Learned:
        if attack.file is not None and attack.file.exists():
            return read_learned(attack)
        settings = self._settings
        images, labels = spooled(settings.scenario, "train", attack.training_images)
        report = reporter(self._progress, f"{name_of(attack)} learns", len(images))
        reseed(classifier, settings.seed, "learns", signature(attack))
        return learned(attack, classifier, images, labels, seed=settings.seed, on_progress=report)

    def learned_content(self, attack: Attack, classifier: Classifier) -> str | None:
        """Return the SHA-256 of the arrays that an attack learned; `None` of one that does not."""
        ready = self.ready(attack, classifier)
        if not isinstance(ready, Learned):
            return None
        content = hashlib.sha256()
        for name, array in sorted(ready.arrays.items()):
            content.update(repr((name, array.shape, array.dtype.str)).encode())
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()

    @functools.cached_property
    def training_content(self) -> str:
        """The SHA-256 of the training images that detectors learn from."""
        return self._training_content or content_of(
            *spooled(self._settings.scenario, "train", self._to_fit)
        )

    @property
    def _to_fit(self) -> int:
        return min(self._images, MOST_TO_FIT)

    def targets(self, attack: Attack, classifier: Classifier, block: BlockImages) -> Labels:
        """Return the classes that a targeted attack must reach in a block, int64 `(n,)`.

        Which classes can be reached is asked once, of the first 1,024 images.
        """
        settings = self._settings
        if classifier not in self._reachable:
            reseed(classifier, settings.seed, "reachable")
            self._reachable[classifier] = reachable(
                classifier, self._first(settings.batch_size), settings.batch_size
            )
        reseed(classifier, settings.seed, block.block.start, "targets")
        return choose_targets(
            settings.targets,
            classifier,
            block.images,
            block.labels,
            known=settings.scenario.num_classes,
            seed=settings.seed,
            batch_size=settings.batch_size,
            portion=Portion(block.block.start, self._reachable[classifier]),
        )

    def detectors(
        self,
        attack: Attack,
        crafted_as: Attack,
        attacked: Classifier,
        protected: Classifier,
        settings: EvaluationSettings,
    ) -> list[ReadyDetector]:
        """Return the evaluation's detectors, fitted against one attack.

        Args:
            attack: with its budget.
            crafted_as: the attack as it is run, which several budgets may share.
            attacked: the classifier that it sees.
            protected: the classifier that the detectors look at.
            settings: of the detectors.
        """
        key = attacked, protected, attack
        if key not in self._detectors:
            training = attacked, crafted_as
            seed, batch_size = settings.seed, settings.batch_size
            if training not in self._training:
                reseed(attacked, seed, "training", signature(crafted_as))
                self._training[training] = attack_training(
                    crafted_as,
                    attacked,
                    settings.scenario,
                    self._to_fit,
                    seed=seed,
                    batch_size=batch_size,
                )
            reseed(protected, seed, "fits", signature(attack))
            images = audited_training(
                self._training[training], attack, protected, batch_size=batch_size
            )
            self._detectors[key] = ready_detectors(
                settings.detectors, images, protected, seed=seed, batch_size=batch_size
            )
        return self._detectors[key]


def without_budget(attack: Attack) -> Attack:
    """Return a minimum-norm attack as it is run: once for all its budgets. Others stay as they are.

    Example:
        >>> without_budget(create("attacks", "deepfool", eps=0.1)).eps is None
        True
    """
    if attack.minimum_norm and has_option(attack, "eps"):
        return dataclasses.replace(attack, eps=None)  # type: ignore[type-var]
    return attack
