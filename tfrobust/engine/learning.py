"""Attacks that learn from many images first, and then apply what they learned to any image."""

from __future__ import annotations

import abc
import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrobust.attack import Attack, WrappedAttack
from tfrobust.classifier import Classifier
from tfrobust.engine import learned_files
from tfrobust.engine.counted import NONE_SEEN, Counted, FirstGradients
from tfrobust.engine.learned_files import Arrays, Origin
from tfrobust.engine.victim import victim_of
from tfrobust.errors import RobustError, StoreError, UsageError
from tfrobust.registry import name_of
from tfrobust.types import Images, Labels

_MEMORY: contextvars.ContextVar[Path | None] = contextvars.ContextVar("learned", default=None)


class LearningAttack(Attack):
    """Learns once for a classifier and a scenario; the arrays it learned can be saved and re-used.

    `tfrobust.run_attack`, which knows no training split, learns from the images it is given. What
    is learned is learned for whole images: a region confines only what is applied.

    A file records what it was learned for. It serves another classifier, and options that only say
    how thoroughly it was learned may differ; see `notes`. It serves no other `binding` options.

    Attributes:
        file: where the arrays are read from if it exists, and written to otherwise; an option that
            a subclass declares, as is the next.
        training_images: how many images of the training split an evaluation learns from.
    """

    file: Path | None
    training_images: int

    @property
    @abc.abstractmethod
    def binding(self) -> tuple[str, ...]:
        """The options that a file must agree in: what it was to reach, and how it is applied."""

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
            classifier: the classifier to fool.
            images: float32 NumPy array `(n, height, width, channels)` in [0, 1]. It may be mapped
                from a file that is larger than the memory: take `images[rows]` of a batch, and
                compute nothing with all of them at once.
            labels: int64 `(n,)`: the true classes.
            seed: decides everything random.
            on_progress: called with the number of images learned from so far.
        """

    @abc.abstractmethod
    def check_learned(self, arrays: Arrays, classifier: Classifier) -> None:
        """Refuse arrays that were learned for other images; the `binding` options agree.

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
class Learned(WrappedAttack):
    """A learning attack together with what it has learned.

    Attributes:
        wrapped: the attack with its options.
        arrays: what it learned.
        origin: what for, if that is known.
        gradients: what that cost, in gradients of one image.
        queries: what that cost, in forward passes of one image.
        first: what the first gradients were like that it was learned by.
    """

    wrapped: LearningAttack
    arrays: Arrays
    origin: Origin | None = None
    gradients: int = 0
    queries: int = 0
    first: FirstGradients = NONE_SEEN

    @property
    def needs_gradients(self) -> bool:
        """No longer: what needed them has been learned."""
        return False

    @property
    def samples(self) -> int | None:  # type: ignore[override]
        """None: the gradients that were to be averaged have been computed."""
        return None

    def check(self, classifier: Classifier) -> None:
        """Refuse what the wrapped attack refuses, and arrays that do not fit."""
        super().check(classifier)
        if self.origin:
            _check_binding(self.wrapped, self.origin)
        self.wrapped.check_learned(self.arrays, classifier)

    def save(self, path: Path) -> None:
        """Write an `.npz` that the option `file` reads.

        Raises:
            StoreError: the file cannot be written, or what it was learned for is not known.
        """
        if self.origin is None:
            raise StoreError(f"{path}: expected something learned here; received: arrays alone")
        learned_files.write(path, self.arrays, self.origin)

    def save_with_cost(self, path: Path) -> None:
        """Save what `remembered` gives back as it is here; see `save`.

        What is read from the option `file` has cost nothing now, whatever its file says.
        """
        cost = {"gradients": self.gradients, "queries": self.queries}
        first = {"first_gradients": dataclasses.astuple(self.first)}
        origin = self.origin and self.origin.model_copy(update=cost | first)
        dataclasses.replace(self, origin=origin).save(path)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        tensors = {name: tf.constant(value) for name, value in self.arrays.items()}
        return self.wrapped.apply(tensors, classifier, images, labels, seed=seed)


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
        classifier: the classifier to fool.
        images: float32 NumPy array `(n, height, width, channels)` in [0, 1] to learn from; may be
            mapped from a file, as `tfrobust.data.spooled` does.
        labels: int64 `(n,)`.
        seed: decides everything random.
        on_progress: called with the number of images learned from so far.

    Raises:
        UsageError: the attack does not fit the classifier, or the file holds something else.
        StoreError: the file cannot be read or written.

    Example:
        >>> uap = create("attacks", "uap", eps=0.2, file="runs/uap.npz")
        >>> learned(uap, classifier, images, labels).arrays["perturbation"].shape == (28, 28, 1)
        True
    """
    if attack.file is not None and attack.file.exists():
        return read_learned(attack)
    attack.check(classifier)
    origin, place = Origin.of(attack, classifier, images, seed), attack.file
    if place is None and (folder := _MEMORY.get()) is not None:
        place = learned_files.name_in(folder, origin, classifier, images, labels)
        if kept := remembered(attack, place):
            return kept
    counted = Counted(*victim_of(attack, classifier))
    arrays = attack.learn(counted, images, labels, seed=seed, on_progress=on_progress)
    cost = {name: int(getattr(counted, name).numpy()) for name in ("gradients", "queries")}
    first = counted.first_gradients()
    seen_first = {"first_gradients": dataclasses.astuple(first)}
    origin = origin.model_copy(update=cost | seen_first)
    ready = Learned(attack, arrays, origin, **cost, first=first)
    if place is not None:
        ready.save(place)
    return ready


def remembered(attack: LearningAttack, place: Path) -> Learned | None:
    """Return the attack with what was learned for it and saved before, with its cost, or `None`."""
    try:
        arrays, origin = learned_files.read(place, attack)
    except RobustError:
        return None  # not learned yet, or damaged: it is learned again
    first = FirstGradients(*origin.first_gradients)
    return Learned(attack, arrays, origin, origin.gradients, origin.queries, first)


def read_learned(attack: LearningAttack) -> Learned:
    """Return the attack with what lies in its file.

    Raises:
        UsageError: it holds something else.
        StoreError: it has none, or the file cannot be read.
    """
    if attack.file is None or not attack.file.exists():
        raise StoreError("nothing learned yet: call tfrobust.engine.learning.learned first")
    return Learned(attack, *learned_files.read(attack.file, attack))


@contextlib.contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Let attacks that name no file keep in a folder what they learn, and read it from there.

    What is read was learned by the same attack with the same options, seed, images and classifier.
    So an interrupted run resumes, and never takes what another one has learned. Where two of these
    are nested, both use the outer folder.

    Example:
        >>> with remembering(Path("runs/gap/.tfrobust-partial")):
        ...     evaluate({"d1": classifier}, scenario, [create("attacks", "gap")])
    """
    token = _MEMORY.set(_MEMORY.get() or folder)
    try:
        yield
    finally:
        _MEMORY.reset(token)


def _check_binding(attack: LearningAttack, origin: Origin) -> None:
    others = origin.others_than(attack)
    for name in attack.binding:
        if name in others:
            then, now = map(learned_files.spelt, others[name])
            raise UsageError(
                f"{name_of(attack)}: file: learned with {name}={then}; expected {name}={now}; "
                f"give -p {name_of(attack)}.{name}={then}, or name another file to learn that"
            )
