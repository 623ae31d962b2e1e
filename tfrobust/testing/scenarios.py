"""The contracts of scenarios and shifts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfrobust.data.reading import check_images, labelled
from tfrobust.errors import DataError
from tfrobust.scenario import Scenario, Shift
from tfrobust.types import Images, Labels

_COMPARED = 70  # rows; more than a shift of batches takes at once


def scenario_checks() -> Sequence[Callable[[Scenario], None]]:
    """Return the checks every scenario must pass; each takes a built scenario."""
    return (
        has_training_and_test_images,
        brings_images_as_agreed,
        keeps_its_order,
        fits_its_description,
        reads_rows_as_it_loads_them,
        has_no_rows_past_its_end,
    )


def has_training_and_test_images(scenario: Scenario) -> None:
    """Have the splits `train` and `test`."""
    assert {"train", "test"} <= set(scenario.splits), f"splits are {scenario.splits}"


def brings_images_as_agreed(scenario: Scenario) -> None:
    """Bring float32 images in [0, 1] and labels that name classes."""
    for split in scenario.splits:
        images, labels = _first(scenario, split)
        try:
            check_images(images, labels, scenario.num_classes)
        except DataError as error:
            raise AssertionError(f"split {split}: {error}") from error


def keeps_its_order(scenario: Scenario) -> None:
    """Bring the same images in the same order each time."""
    for first, second in zip(_first(scenario, "test"), _first(scenario, "test"), strict=True):
        assert np.array_equal(first, second), "two readings of `test` differ"


def fits_its_description(scenario: Scenario) -> None:
    """Bring images of the shape, and as many classes, as it says."""
    images, _ = _first(scenario, "train")
    assert images.shape[1:] == scenario.image_shape, (
        f"says {scenario.image_shape}, brings {images.shape[1:]}"
    )
    assert scenario.num_classes == len(scenario.class_names) >= 2


def reads_rows_as_it_loads_them(scenario: Scenario) -> None:
    """Bring by `load_rows` what `load` brings at these places."""
    for split in scenario.splits:
        loaded = _examples(scenario.load(split).take(_COMPARED))
        for start, stop in (
            (0, 1),
            (0, 7),
            (3, 5),
            (1, len(loaded)),
            (len(loaded) - 1, len(loaded)),
        ):
            rows = _examples(scenario.load_rows(split, start, stop))
            expected = loaded[start:stop]
            assert len(rows) == len(expected), (
                f"split {split}: {len(rows)} rows in [{start}, {stop}), not {len(expected)}"
            )
            for place, (row, example) in enumerate(zip(rows, expected, strict=True), start):
                assert row.keys() == example.keys(), f"split {split}, row {place}: other features"
                for name in example:
                    assert np.array_equal(row[name], example[name]), (
                        f"split {split}, row {place}: another {name} than `load` brings"
                    )


def has_no_rows_past_its_end(scenario: Scenario) -> None:
    """Bring no rows past the end of a split, and as many as `count` says, if it says so."""
    for split in scenario.splits:
        assert not _examples(scenario.load_rows(split, 2**40, 2**40 + 5)), f"split {split}"
        assert not _examples(scenario.load_rows(split, 2, 2)), f"split {split}: an empty range"
        count, loaded = scenario.count(split), scenario.load(split)
        if count is None:
            continue
        known = int(loaded.cardinality())
        known = known if known >= 0 else sum(1 for _ in loaded)
        assert count == known, f"split {split}: count says {count}, load brings {known}"
        last = _examples(scenario.load_rows(split, count - 1, count + 5))
        assert len(last) == 1, f"split {split}: {len(last)} rows from {count - 1} on, not 1"


def _examples(dataset: tf.data.Dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def _first(scenario: Scenario, split: str) -> tuple[Images, Labels]:
    batch: tuple[Images, Labels] = next(
        labelled(scenario.load(split)).batch(64).as_numpy_iterator()
    )
    return batch


def shift_checks() -> Sequence[Callable[[Shift], None]]:
    """Return the checks every shift must pass; each takes a built shift."""
    return (keeps_shape_and_range, same_seed_same_image, a_batch_is_its_images)


def keeps_shape_and_range(shift: Shift) -> None:
    """Return float32 of the same shape in [0, 1], for grey and colour, bright and dark."""
    for channels in (1, 3):
        for value in (0.0, 0.5, 1.0):
            image = tf.fill((12, 10, channels), value)
            shifted = np.asarray(shift(image, seed=tf.constant([0, 1])))
            assert shifted.shape == (12, 10, channels), f"changed the shape to {shifted.shape}"
            assert shifted.dtype == np.float32, f"expected float32; got {shifted.dtype}"
            assert shifted.min() >= 0, "left [0, 1]"
            assert shifted.max() <= 1, "left [0, 1]"


def same_seed_same_image(shift: Shift) -> None:
    """Return the same image twice for one seed, in `tf.function` too."""
    image = tf.random.stateless_uniform((12, 10, 3), (1, 2))
    seed = tf.constant([3, 4])
    plain = np.asarray(shift(image, seed=seed))
    traced = tf.function(lambda image, seed: shift(image, seed=seed))(image, seed)
    assert np.allclose(plain, traced, atol=1e-6), "one seed gave two images"


def a_batch_is_its_images(shift: Shift) -> None:
    """Shift a batch as its images one by one."""
    images = tf.random.stateless_uniform((5, 12, 10, 3), (1, 2))
    seeds = tf.stack([tf.fill([5], 7), tf.range(5)], axis=1)
    batch = np.asarray(shift.batch(images, seeds=seeds))
    single = [np.asarray(shift(images[k], seed=seeds[k])) for k in range(5)]
    assert np.allclose(batch, single, atol=1e-6), "a batch differs from its images"
