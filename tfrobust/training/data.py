"""Training images: held-out validation, and an order that depends on seed and epoch alone.

Shifts depend on them alone too: each training image is shifted anew in each epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfrobust.data.reading import check_images, readable
from tfrobust.data.shifted import Shifted
from tfrobust.errors import DataError, UsageError
from tfrobust.random import numbered_seeds
from tfrobust.scenario import Scenario, Shift

if TYPE_CHECKING:
    from tfrobust.training.options import TrainingOptions

_SHUFFLED = 20_000  # images in the shuffle buffer where they do not all fit into memory, at most
_MIXED = 8  # batches in it, at least
_STEPS = 40  # an epoch at least, unless the batch size is given
_CACHED = 1 << 30  # bytes of images that are cached in memory
_READ = 1024  # images at a time, into memory
_GATHERED = 1 << 24  # bytes of images that are gathered in one call


class TrainingData:
    """The batches of one training.

    Attributes:
        steps: batches an epoch.
        batch_size: images a step, over all devices.
        validation: batches of `(images, labels, index)`, or `None`.
        gathers: whether `gathered` has the batches of an epoch: the images fit into memory and no
            shift changes them from epoch to epoch.
    """

    def __init__(self, scenario: Scenario, options: TrainingOptions) -> None:
        self._options = options
        plain, self._shift = scenario, None
        if isinstance(scenario, Shifted):
            plain, self._shift = scenario.base, _traced(scenario.shift)
        images = _numbered(plain, "train")
        count = _count(images)
        if "validation" in plain.splits:
            train, validation, held_out = images, _numbered(plain, "validation"), 0
        else:
            held_out = math.floor(count * options.validation)
            train, validation = _hold_out(images, count, held_out, options.seed)
            count -= held_out
        if count < 1:
            raise DataError("the training split holds no images beside the validation share")
        size = int(np.prod(plain.image_shape)) * 4  # bytes of an image
        in_memory = count * size <= _CACHED
        self._train, self._count, self._in_memory = train, count, in_memory
        self.gathers = in_memory and self._shift is None
        batch = options.batch_size or min(128, max(count // _STEPS, 1))
        self.batch_size = min(batch, count)
        self.steps = count // self.batch_size
        self._together = max(1, _GATHERED // (self.batch_size * size))
        self._buffer = max(min(_SHUFFLED, _CACHED // size), _MIXED * self.batch_size)
        _check_first(self._shifted(train.batch(256), self.seed_of(0)), scenario)
        self.validation = None
        if "validation" in plain.splits or held_out > 0:
            batches = validation.batch(options.batch_size or 128)
            if isinstance(scenario, Shifted):
                batches = self._shifted(batches, tf.constant(scenario.seed, tf.int32))
            batches = batches.cache() if in_memory else batches
            self.validation = batches.prefetch(tf.data.AUTOTUNE)

    def epoch(self, number: int) -> tf.data.Dataset:
        """Return the batches `(images, labels, index)` of one epoch, shuffled by its number."""
        if self._in_memory:
            shuffled = self._places(number)
        else:
            shuffled = _shuffled(self._train, self._buffer, self._order(number))
        batches = shuffled.batch(self.batch_size, drop_remainder=True)
        if self._in_memory:
            tensors = self._tensors
            batches = batches.map(
                lambda places: tuple(tf.gather(tensor, places) for tensor in tensors),
                num_parallel_calls=tf.data.AUTOTUNE,
            )
        return self._shifted(batches, self.seed_of(number, 2)).prefetch(tf.data.AUTOTUNE)

    def gathered(self, number: int) -> Iterator[tuple[Any, Any, Any, Any]]:
        """Yield the batches of `epoch`, gathered from tensors that lie on the device.

        Each is `(images, labels, index, real)`, as one replica takes it: all images are real.
        """
        places = self._places(number).batch(self._count).get_single_element()
        rows = tf.reshape(places[: self.steps * self.batch_size], (self.steps, self.batch_size))
        for start in range(0, self.steps, self._together):
            *batches, real = self._gather(rows[start : start + self._together])
            for batch in zip(*map(tf.unstack, batches), strict=True):
                yield *batch, real

    def _order(self, number: int) -> int:
        """Return the seed of an epoch's order."""
        return int(np.random.SeedSequence([self._options.seed, number]).generate_state(1)[0])

    def _places(self, number: int) -> tf.data.Dataset:
        """Return the places of the images in `_tensors`, in the order of an epoch."""
        return _shuffled(tf.data.Dataset.range(self._count), self._count, self._order(number))

    @cached_property
    def _gather(self) -> Callable[[Any], tuple[Any, ...]]:
        """Return what gathers the images of some places, `(batches, batch)`, traced once.

        A call takes half a millisecond whatever it gathers: several batches share one.
        """
        with tf.device("GPU:0" if tf.config.list_logical_devices("GPU") else "CPU:0"):
            tensors = [tf.identity(tensor) for tensor in self._tensors]
            real = tf.ones((self.batch_size,))

        @tf.function(reduce_retracing=True)
        def gather(places: Any) -> tuple[Any, ...]:
            return *(tf.gather(tensor, places) for tensor in tensors), real

        return gather

    def few(self, count: int) -> tuple[Any, Any, Any]:
        """Return `(images, labels, index)` of at most `count` validation images, drawn by the seed.

        They are the same in every epoch; training images where none are held out.
        """
        if self.validation is None:
            examples = self.epoch(0).unbatch()
        else:  # which may be sorted by class
            held_out, seed = self.validation.unbatch(), self._options.seed
            examples = held_out.shuffle(self._buffer, seed=seed, reshuffle_each_iteration=False)
        images, labels, index = next(iter(examples.batch(count)))
        return images, labels, index

    def seed_of(self, epoch: int, purpose: int = 1) -> Any:
        """Return the int32 scalar that seeds everything random in one epoch."""
        states = np.random.SeedSequence([self._options.seed, epoch, purpose]).generate_state(1)
        return tf.constant(int(states[0] >> 1), tf.int32)

    @cached_property
    def _tensors(self) -> tuple[Any, Any, Any]:
        """All training images, their labels and numbers, as tensors; read once, on first use."""
        specs = self._train.element_spec
        spaces = [np.empty((self._count, *s.shape), s.dtype.as_numpy_dtype) for s in specs]
        place = 0
        for batch in readable(self._train.batch(_READ).as_numpy_iterator()):
            for space, values in zip(spaces, batch, strict=True):
                space[place : place + len(values)] = values
            place += len(batch[0])
        with tf.device("CPU"):  # where tf.data gathers from it
            return tuple(tf.convert_to_tensor(space) for space in spaces)

    def _shifted(self, batches: tf.data.Dataset, seed: Any) -> tf.data.Dataset:
        """Return the batches with each image shifted by a seed and the image's number."""
        shift = self._shift
        if shift is None:
            return batches
        return batches.map(
            lambda images, labels, index: (shift(images, index, seed), labels, index),
            num_parallel_calls=tf.data.AUTOTUNE,
        )


def _shuffled(elements: tf.data.Dataset, buffer: int, seed: int) -> tf.data.Dataset:
    return elements.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)


def _traced(shift: Shift) -> Callable[[Any, Any, Any], Any]:
    """Return a function that shifts numbered images; it is traced once, not in every epoch."""

    @tf.function(reduce_retracing=True)
    def shifted(images: Any, index: Any, seed: Any) -> Any:
        return _in_range(shift.batch(images, seeds=numbered_seeds(seed, index)), index)

    return shifted


def _in_range(images: Any, index: Any) -> Any:
    inside = (tf.reduce_min(images) >= 0) & (tf.reduce_max(images) <= 1)
    complaint = ["images: expected values in [0, 1]; broken by image", index]
    with tf.control_dependencies([tf.debugging.Assert(inside, complaint)]):
        return tf.identity(images)


def _numbered(scenario: Scenario, split: str) -> tf.data.Dataset:
    if split not in scenario.splits:
        raise UsageError(f"the scenario has no split {split!r} to train on")

    classes = scenario.num_classes

    def numbered(index: Any, example: dict[str, Any]) -> Any:
        label = tf.cast(example["label"], tf.int64)
        complaint = [f"labels: expected 0 to {classes - 1}; received:", label, "at image", index]
        known = tf.debugging.Assert((label >= 0) & (label < classes), complaint)
        with tf.control_dependencies([known]):
            image = example["image"]
            image = _in_range(image, index) if scenario.bounded else tf.identity(image)
            return image, label, tf.cast(index, tf.int32)

    return scenario.load(split).enumerate().map(numbered, num_parallel_calls=tf.data.AUTOTUNE)


def _count(images: tf.data.Dataset) -> int:
    known = int(images.cardinality())
    return known if known >= 0 else int(images.reduce(0, lambda n, *_: n + 1))


def _hold_out(images: tf.data.Dataset, count: int, held_out: int, seed: int) -> tuple[Any, Any]:
    """Split `count` images into training and `held_out` validation ones, drawn by `seed`."""
    drawn = np.zeros(count, bool)
    drawn[np.random.default_rng(seed).permutation(count)[:held_out]] = True
    chosen = tf.constant(drawn)
    return (
        images.filter(lambda _image, _label, index: ~chosen[index]),
        images.filter(lambda _image, _label, index: chosen[index]),
    )


def _check_first(batches: tf.data.Dataset, scenario: Scenario) -> None:
    for image, label, _ in readable(batches.take(1).as_numpy_iterator()):
        check_images(image, label, scenario.num_classes, bounded=scenario.bounded)
        if image.shape[1:] != scenario.image_shape:
            raise DataError(
                f"images: expected {scenario.image_shape}, as the scenario says; "
                f"received: {image.shape[1:]}"
            )
