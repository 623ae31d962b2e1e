"""A scenario seen through a shift."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfrobust import registry
from tfrobust.data.framing import Reviewed
from tfrobust.scenario import BatchShift, Scenario, Shift

_TOGETHER = 64  # images that a shift of batches does at once


class Shifted(Reviewed):
    """A scenario seen through a shift, in every split; without boxes if the shift may move objects.

    The shift of an image depends on its place in the split and on `seed`, and so is the same
    whenever it is loaded. Only a training draws anew in every epoch; see `TrainingData`.
    """

    def __init__(self, base: Scenario, shift: Shift, seed: int = 0) -> None:
        super().__init__(base)
        self.shift, self.seed = shift, seed

    @property
    def shift_name(self) -> str:
        """The shift as a scenario's name spells it: `fog.3`, or `b2` without a severity."""
        severity = self.shift.severity
        return registry.name_of(self.shift) + ("" if severity is None else f".{severity}")

    def load(self, split: str) -> tf.data.Dataset:
        """Return the base scenario's split with every image shifted."""
        return self._shifted_from(0, self.base.load(split))

    def load_rows(self, split: str, start: int, stop: int) -> tf.data.Dataset:
        """Return some rows of the shifted split: the same images as `load` has there.

        Whole groups of 64 are read: a shift of batches may round otherwise in another group.
        """
        first, last = start - start % _TOGETHER, stop + -stop % _TOGETHER
        groups = self._shifted_from(first, self.base.load_rows(split, first, last))
        return groups.skip(start - first).take(max(0, stop - start))

    def _shifted_from(self, start: int, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Return a dataset's images shifted, the first of which has the place `start`."""
        if "boxes" in dataset.element_spec and not self.shift.keeps_geometry:
            dataset = dataset.map(lambda example: {k: example[k] for k in example if k != "boxes"})
        dataset = dataset.enumerate(start)
        if isinstance(self.shift, BatchShift) and _of_one_shape(dataset):
            batches = dataset.batch(_TOGETHER)
            return batches.map(self._shifted, num_parallel_calls=tf.data.AUTOTUNE).unbatch()

        def shifted(index: Any, example: dict[str, Any]) -> dict[str, Any]:
            seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(index, tf.int32)])
            return {**example, "image": self.shift(example["image"], seed=seed)}

        return dataset.map(shifted, num_parallel_calls=tf.data.AUTOTUNE)

    def _shifted(self, indices: Any, examples: dict[str, Any]) -> dict[str, Any]:
        """Shift a batch, seeded by the places of its images."""
        places = tf.cast(indices, tf.int32)
        seeds = tf.stack([tf.fill(tf.shape(places), self.seed), places], axis=1)
        return {**examples, "image": self.shift.batch(examples["image"], seeds=seeds)}


def _of_one_shape(dataset: tf.data.Dataset) -> bool:
    """Tell whether examples can be batched; those with boxes, for instance, cannot."""
    specs = tf.nest.flatten(dataset.element_spec)
    return all(isinstance(s, tf.TensorSpec) and s.shape.is_fully_defined() for s in specs)


def base_and_shift(scenario: Scenario) -> tuple[Scenario, str | None]:
    """Return a scenario without its shift, and the shift's name; `None`: it has none.

    Example:
        >>> base_and_shift(open_scenario("digits+fog.2", {}))[1]
        'fog.2'
    """
    if isinstance(scenario, Shifted):
        return scenario.base, scenario.shift_name
    return scenario, None
