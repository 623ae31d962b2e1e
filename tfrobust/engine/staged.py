"""Noise that grows: with fewer generations it is an earlier stage of the same images."""

from __future__ import annotations

import abc
import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack, Strength
from tfrobust.classifier import Classifier
from tfrobust.classifiers.traces import Traces
from tfrobust.data.reading import check_images
from tfrobust.engine.run import Crafted
from tfrobust.errors import PluginError
from tfrobust.random import content_seeds
from tfrobust.registry import name_of
from tfrobust.types import Images, Labels

_BATCH = 1024  # no network is run here: small batches would only cost calls
_GROWN: Traces[Any] = Traces(most=64)


class GrowingAttack(Attack):
    """An attack that asks no classifier and changes images one generation at a time.

    An evaluation at several counts crafts all stages in one pass.

    Attributes:
        strength: names the option that says how many generations, an integer; a subclass declares
            that option. By default it is called `count`.
    """

    strength: ClassVar[Strength] = Strength("count", "×", "generations of noise")

    @abc.abstractmethod
    def stages(self, images: Images, counts: Sequence[int], *, seed: Any) -> Any:
        """Return the images after each of these numbers of generations.

        Args:
            images: float32 `(batch, height, width, channels)` in [0, 1].
            counts: one or more, ascending, from 0 upwards; the option that `strength` names
                does not matter here.
            seed: an integer or seeds, as for `Attack`.

        Returns:
            float32 `(len(counts), batch, height, width, channels)` in [0, 1]; a stage does not
            depend on the other counts.
        """

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return the images after the generations that its option says; see `Attack`."""
        return self.stages(images, (_generations(self),), seed=seed)[0]


def grown_together(attacks: Iterable[Attack]) -> list[list[GrowingAttack]]:
    """Return the growing attacks that differ in nothing but their count, each list ascending.

    Example:
        >>> noise = [create("attacks", "white_to_black", count=count) for count in (20, 10)]
        >>> [[attack.count for attack in group] for group in grown_together(noise)]
        [[10, 20]]
    """
    groups: dict[Attack, dict[int, GrowingAttack]] = {}
    for attack in attacks:
        if isinstance(attack, GrowingAttack):
            nothing = {attack.strength.option: 0}
            without_count: Attack = dataclasses.replace(attack, **nothing)  # type: ignore[type-var]
            groups.setdefault(without_count, {})[_generations(attack)] = attack
    return [[group[count] for count in sorted(group)] for group in groups.values()]


def run_stages(
    attacks: Sequence[GrowingAttack],
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    seed: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> list[Crafted]:
    """Craft the images of several counts in one pass; `run_attack` crafts the same for each count.

    Args:
        attacks: one of the lists of `grown_together`.
        classifier: whose images these are; it is not asked.
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`.
        seed: decides everything random.
        on_progress: called with the number of images done after each batch.

    Returns:
        One result an attack, with an equal share of the time.

    Raises:
        UsageError: options that do not fit the images.
        DataError: images or labels break the contract.
        PluginError: the attack returns images of another shape.
    """
    check_images(images, labels, classifier.num_classes)
    for attack in attacks:
        attack.check(classifier)
    counts = [_generations(attack) for attack in attacks]
    grow = _GROWN.of(classifier, tuple(attacks), lambda: _traced(attacks[-1], counts, images.shape))
    began = time.perf_counter()
    crafted = np.empty((len(counts), *images.shape), np.float32)
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH]
        stages = np.asarray(grow(batch, content_seeds(seed, batch)))
        if stages.shape != (len(counts), *batch.shape):
            raise PluginError(
                f"attack {name_of(attacks[-1])} broke its contract: expected stages "
                f"{(len(counts), *batch.shape)}; received: {stages.shape}"
            )
        crafted[:, start : start + _BATCH] = stages
        if on_progress:
            on_progress(start + len(batch))
    seconds = (time.perf_counter() - began) / len(counts)
    return [
        Crafted(stage, targets=None, gradients=0, queries=0, seconds=seconds) for stage in crafted
    ]


def _traced(attack: GrowingAttack, counts: Sequence[int], shape: Sequence[int]) -> Any:
    """Return `(images, seeds) -> stages`, traced for batches of any size."""
    specs = tf.TensorSpec((None, *shape[1:]), tf.float32), tf.TensorSpec((None, 2), tf.int32)
    return tf.function(
        lambda images, seeds: attack.stages(images, counts, seed=seeds), input_signature=specs
    )


def _generations(attack: GrowingAttack) -> int:
    generations: int = getattr(attack, attack.strength.option)
    return generations
