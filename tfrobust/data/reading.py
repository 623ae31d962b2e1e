"""The images of a scenario: read into memory, and checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.errors import ClassifierError, DataError, UsageError, one_line, printable
from tfrobust.files.record_types import is_text
from tfrobust.scenario import Scenario
from tfrobust.types import Images

_BLOCK = 4096  # rows that are read in one piece
ALL = 2**62  # more images than there are; a larger number does not fit into tf.data's
_HINT = "; tfrobust data prepare names the file"  # where TensorFlow names none
# What TensorFlow says before a cause: `{{node …}} `, and the path of tf.data's steps.
_PLACE = re.compile(r"^.*(?:\}\} |Iterator::\S+: )")


def check_fits(
    classifier: Classifier, scenario: Scenario, name: str, *, classes: bool = True
) -> None:
    """Refuse a classifier of another image shape, or of other classes.

    It may have classes of its own after the scenario's, such as one for fooling images.

    Args:
        classifier: to be used with the scenario.
        scenario: the data.
        name: of the classifier, for messages.
        classes: whether its classes must fit too.

    Raises:
        ClassifierError: image shape or class count differ, or a name cannot stand in results.
    """
    for what, text in [("classifier", name), *(("class", label) for label in scenario.class_names)]:
        if not is_text(text):
            raise ClassifierError(
                f"{what}: expected a name of at most 1000 characters, none of them a control "
                f"character; received: {printable(text, 80)}; rename it"
            )
    height, width, channels = scenario.image_shape
    if (channels, height, width) == classifier.image_shape != scenario.image_shape:
        raise ClassifierError(
            f"{name} takes channels first: images: expected {scenario.image_shape}; "
            f"received: {classifier.image_shape}; put a layer first that turns them: "
            f"x = keras.Input({scenario.image_shape}); "
            "keras.Model(x, model(keras.layers.Permute((3, 1, 2))(x)))"
        )
    classes = classes and not _has_further_classes(classifier, scenario)
    for what, has, needs in (
        ("images", classifier.image_shape, scenario.image_shape),
        ("classes", classifier.num_classes, scenario.num_classes),
    ):
        if has != needs and (classes or what == "images"):
            more = what == "classes" and classifier.num_classes > scenario.num_classes
            hint = scenario.with_classes(classifier.num_classes) if more else ""
            raise ClassifierError(
                f"{name} does not fit the scenario: {what}: expected {needs}; received: {has}"
                + (f"; if the data show only some of them, give {hint}" if hint else "")
            )


def _has_further_classes(classifier: Classifier, scenario: Scenario) -> bool:
    known, names = scenario.num_classes, classifier.class_names
    further = names[known:]
    named = further != tuple(map(str, range(known, len(names))))  # not just numbered
    return bool(further) and named and names[:known] == tuple(scenario.class_names)


def check_split(scenario: Scenario, split: str, limit: int | None = None) -> None:
    """Refuse a split the scenario does not have, and a limit of no image.

    Raises:
        UsageError: with the splits there are, or the limit.
    """
    if split not in scenario.splits:
        raise UsageError(
            f"split: expected one of {', '.join(scenario.splits)}; received: {split!r}"
        )
    if limit is not None and limit < 1:
        raise UsageError(f"limit: expected 1 or more; received: {limit}")


def arrays(
    scenario: Scenario, split: str, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read the first `limit` images of a split into memory, and check them.

    Returns:
        Images float32 `(n, height, width, channels)` and labels int64 `(n,)`.

    Raises:
        UsageError: no such split, or a limit below 1.
        DataError: images or labels break the contract.
    """
    check_split(scenario, split, limit)
    dataset = scenario.load(split)
    dataset = dataset.take(min(limit, ALL)) if limit else dataset
    return _read(dataset, scenario, f"split {split!r} holds no images", 1024)


def arrays_of_rows(
    scenario: Scenario, split: str, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read rows `[start, stop)` of a split into memory, and check them.

    Returns:
        Images float32 `(n, height, width, channels)` and labels int64 `(n,)`; n is less than
        `stop - start` where the split ends before.

    Raises:
        UsageError: no such split, or `start` is below 0 or not below `stop`.
        DataError: images or labels break the contract, or the split has no such rows.

    Example:
        >>> from tfrobust.registry import create
        >>> images, labels = arrays_of_rows(create("scenarios", "digits"), "test", 350, 400)
        >>> images.shape
        (10, 8, 8, 1)
    """
    check_split(scenario, split)
    if not 0 <= start < stop:
        raise UsageError(f"rows: expected 0 <= start < stop; received: {start} and {stop}")
    none = f"split {split!r} has no rows from {start} on"
    dataset = scenario.load_rows(split, start, stop)
    return _read(dataset, scenario, none, min(stop - start, _BLOCK))


def _read(
    dataset: tf.data.Dataset, scenario: Scenario, none: str, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read and check examples; `none` is the message if there are none."""
    batches = list(readable(labelled(dataset).batch(batch_size).as_numpy_iterator()))
    if not batches:
        raise DataError(none)
    # A block in one batch is not copied once more.
    images, labels = (
        parts[0] if len(parts) == 1 else np.concatenate(parts)
        for parts in zip(*batches, strict=True)
    )
    check_images(images, labels, scenario.num_classes)
    return images, labels.astype(np.int64)


def labelled(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return images and labels alone: boxes, whose number varies, cannot be batched."""
    return dataset.map(lambda example: (example["image"], example["label"]))


def readable(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a dataset; an error of TensorFlow becomes one line.

    Raises:
        DataError: a damaged picture, a truncated record.
    """
    remaining = iter(batches)
    while True:
        try:
            batch = next(remaining)
        except StopIteration:
            return
        except tf.errors.OpError as error:
            cause = _PLACE.sub("", error.message).removeprefix("DataError: ")
            hint = _HINT if "jpeg::Uncompress" in cause or "JPEG data" in cause else ""
            raise DataError(f"the images cannot be read: {one_line(cause)}{hint}") from error
        yield batch


def check_images(images: Images, labels: Any, num_classes: int, *, bounded: bool = True) -> None:
    """Refuse images that are not float32 in [0, 1] and labels that name no class.

    Raises:
        DataError: names the rule that is broken, and what was received.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.float32:
        raise DataError(
            f"images: expected float32 in [0, 1]; received: {images.dtype}{_as_floats(images)}"
        )
    if images.ndim != 4 or len(images) != len(labels):
        raise DataError(
            f"images: expected ({len(labels)}, height, width, channels), one for each label; "
            f"received: {images.shape}"
        )
    finite = np.isfinite(images)
    if not finite.all():
        count = int((~finite.all(axis=(1, 2, 3))).sum())
        raise DataError(
            f"images: expected values in [0, 1]; received: NaN or infinity in {count} of "
            f"{len(images)}; leave these out: np.isfinite(images).all(axis=(1, 2, 3)) tells the "
            "others"
        )
    if bounded and (images.min() < 0 or images.max() > 1):
        raise DataError(
            f"images: expected values in [0, 1]; received: {images.min()} to {images.max()}"
            f"{_into_range(images)}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"labels: expected integers from 0 to {num_classes - 1}; received: {labels.dtype}"
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"labels: expected integers from 0 to {num_classes - 1}; "
            f"received: {labels.dtype} from {labels.min()} to {labels.max()}"
        )


def _as_floats(images: Images) -> str:
    """Return how to turn the images into float32 in [0, 1], for a message."""
    if images.dtype.kind in "iu":
        most = 65535 if images.size and images.max() > 255 else 255
        return f"; divide them: store (images / {most}).astype(np.float32)"
    return "; store images.astype(np.float32)" if images.dtype.kind == "f" else ""


def _into_range(images: Images) -> str:
    """Return how to bring the images into [0, 1], for a message, where their range shows it."""
    least, most = images.min(), images.max()
    if least >= -1 and most <= 1:
        return "; if they run from -1 to 1, store (images + 1) / 2"
    if least >= 0 and 2 < most <= 255:
        return "; if they run from 0 to 255, store images / 255"
    return ""
