"""The classes in a column of a Hugging Face dataset: numbered and named, numbered, or named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import datasets
import numpy as np

from tfrobust.errors import DataError, printable
from tfrobust.types import Labels

_MOST = 10_000  # classes
_LABELS = ("label", "labels", "fine_label", "class", "target")


def labels_in(features: Any) -> list[str]:
    """Return the columns of classes; without any, those that are called like one."""
    named = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    return named or [name for name in _LABELS if name in features][:1]


def classes_of(
    feature: Any, values: Mapping[str, Iterable[Any]]
) -> tuple[tuple[str, ...], dict[str, Labels]]:
    """Return the names of the classes, and the labels of each split.

    Args:
        feature: of the column.
        values: split → its column.

    Raises:
        DataError: a label is missing or negative, as of a split whose labels are secret; or the
            column has no classes.
    """
    read = {split: list(column) for split, column in values.items()}
    for split, column in read.items():
        if any(value is None or (type(value) is int and value < 0) for value in column):
            raise DataError(
                f"huggingface: split {split!r} has images without a label; choose another: "
                f"-p huggingface.{split}=NAME"
            )
    if isinstance(feature, datasets.ClassLabel):
        names = tuple(map(printable, feature.names))
    elif all(isinstance(value, str) for column in read.values() for value in column):
        written = sorted({value for column in read.values() for value in column})
        numbers = {value: number for number, value in enumerate(written)}
        names = tuple(map(printable, written))
        read = {split: [numbers[value] for value in column] for split, column in read.items()}
    elif all(type(value) is int for column in read.values() for value in column):
        largest = max((value for column in read.values() for value in column), default=0)
        names = tuple(map(str, range(min(max(2, largest + 1), _MOST + 1))))
    else:
        raise DataError(
            f"huggingface: label: expected classes, as integers or texts; received: {feature}; "
            "choose another column: -p huggingface.label=NAME"
        )
    if not 2 <= len(names) <= _MOST:
        raise DataError(
            f"huggingface: label: expected 2 to {_MOST} classes; received: {len(names)}"
        )
    return names, {split: np.array(column, np.int64) for split, column in read.items()}
