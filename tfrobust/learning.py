"""Attacks that learn from many images first, and then apply what they learned to any image."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Classifier
from tfrobust.errors import StoreError, UsageError
from tfrobust.files import read_arrays, write_arrays
from tfrobust.registry import name_of
from tfrobust.seen import Counted, seen_by
from tfrobust.types import Images, Labels, RegionName

Arrays = Mapping[str, np.ndarray]


class LearningAttack(Attack):
    """Learns once for a classifier and a scenario; the arrays it learned can be saved and re-used.

    `tfrobust.run_attack`, which knows no training split, learns from the images it is given. What
    is learned is learned for whole images: a region confines only what is applied.

    Attributes:
        file: where the arrays are read from if it exists, and written to otherwise; an option that
            a subclass declares, as is the next.
        training_images: how many images of the training split an evaluation learns from.
    """

    file: Path | None
    training_images: int

    @abc.abstractmethod
    def learn(
        self,
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: int,
        on_progress: Callable[[int], None] | None = None,
    ) -> Arrays:
        """Return what there is to learn.

        Args:
            classifier: whom to fool.
            images: float32 NumPy array `(n, height, width, channels)` in [0, 1].
            labels: int64 `(n,)`: the true classes.
            seed: decides everything random.
            on_progress: told how many of the images have been learned from.
        """

    @abc.abstractmethod
    def check_learned(self, arrays: Arrays, classifier: Classifier) -> None:
        """Refuse arrays that were learned for other images.

        Raises:
            UsageError: they do not fit the classifier or these options.
        """

    @abc.abstractmethod
    def apply(
        self,
        learned: Mapping[str, Any],
        classifier: Classifier,
        images: Images,
        labels: Labels,
        *,
        seed: Any,
    ) -> Images:
        """Return adversarial images; `learned` holds the arrays as tensors. See `Attack`."""

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Apply what is saved in `file`; see `Attack`.

        Raises:
            StoreError: nothing has been learned yet.
        """
        return read_learned(self)(classifier, images, labels, seed=seed)


@dataclasses.dataclass(frozen=True, eq=False)
class Learned(Attack):
    """A learning attack together with what it has learned.

    Attributes:
        plan: the attack with its options.
        arrays: what it learned.
        gradients: what that cost, in gradients of one image.
        queries: likewise in forward passes.
    """

    plan: LearningAttack
    arrays: Arrays
    gradients: int = 0
    queries: int = 0

    @property
    def __wrapped__(self) -> LearningAttack:
        """The plugin, by whose name this goes."""
        return self.plan

    @property
    def threat(self) -> Threat:
        """The plan's threat model."""
        return self.plan.threat

    @property
    def budget(self) -> float | None:
        """The plan's budget."""
        return self.plan.budget

    @property
    def aim(self) -> int | None:
        """The plan's one target, if it has one."""
        return self.plan.aim

    @property
    def region(self) -> RegionName:
        """The plan's region, if it has one."""
        return getattr(self.plan, "region", "all")

    @property
    def needs_gradients(self) -> bool:
        """No longer: what needed them has been learned."""
        return False

    def check(self, classifier: Classifier) -> None:
        """Refuse what the plan refuses, and arrays that do not fit."""
        self.plan.check(classifier)
        self.plan.check_learned(self.arrays, classifier)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        tensors = {name: tf.constant(value) for name, value in self.arrays.items()}
        return self.plan.apply(tensors, classifier, images, labels, seed=seed)


def learned(
    attack: LearningAttack,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> Learned:
    """Return the attack ready for use: from its file if that exists, and learned otherwise.

    Args:
        attack: with its options; what it learns is written to its `file`, if it names one.
        classifier: whom to fool.
        images: float32 NumPy array `(n, height, width, channels)` in [0, 1] to learn from.
        labels: int64 `(n,)`.
        seed: decides everything random.
        on_progress: told how many of the images have been learned from.

    Raises:
        StoreError: the file cannot be read or written.

    Example:
        >>> uap = create("attacks", "uap", eps=0.2, file="runs/uap.npz")
        >>> learned(uap, classifier, images, labels).arrays["perturbation"].shape == (28, 28, 1)
        True
    """
    if attack.file is not None and attack.file.exists():
        return Learned(attack, read_arrays(attack.file))
    attack.check(classifier)
    counted = Counted(*seen_by(attack, classifier))
    arrays = attack.learn(counted, images, labels, seed=seed, on_progress=on_progress)
    if attack.file is not None:
        attack.file.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(attack.file, dict(arrays))
    return Learned(attack, arrays, int(counted.gradients.numpy()), int(counted.queries.numpy()))


def read_learned(attack: LearningAttack) -> Learned:
    """Return the attack with what lies in its file.

    Raises:
        StoreError: it has none, or the file cannot be read.
    """
    if attack.file is None or not attack.file.exists():
        raise StoreError("nothing learned yet: call tfrobust.learning.learned first")
    return Learned(attack, read_arrays(attack.file))


def check_files(attacks: Iterable[Attack], classifiers: Sequence[Classifier]) -> None:
    """Refuse files that do not fit, or that would be learned for several, before anything runs.

    Args:
        attacks: of one evaluation.
        classifiers: whom they learn to fool.

    Raises:
        UsageError: what a file holds was learned for other images or options; or a file is not
            there, and several classifiers or budgets would share what the first of them learns.
        StoreError: a file cannot be read.
    """
    missing: set[Path] = set()
    for attack in attacks:
        if not isinstance(attack, LearningAttack) or attack.file is None:
            continue
        if attack.file.exists():
            arrays = read_arrays(attack.file)
            for classifier in classifiers:
                attack.check_learned(arrays, classifier)
        elif len(classifiers) > 1 or attack.file in missing:
            raise UsageError(
                f"{name_of(attack)}: file: {attack.file} is not there yet, and several classifiers "
                "or budgets would share what the first of them learns; learn one at a time"
            )
        else:
            missing.add(attack.file)


def kept_in(attack: Attack, folder: Path, name: str) -> Attack:
    """Return an attack that saves what it learns in a folder, unless it names a file itself.

    Example:
        >>> kept_in(create("attacks", "uap"), Path("runs/uap"), "uap").file
        PosixPath('runs/uap/uap.npz')
    """
    if not isinstance(attack, LearningAttack) or attack.file is not None:
        return attack
    kept: Attack = dataclasses.replace(attack, file=folder / f"{name}.npz")  # type: ignore[type-var]
    return kept
