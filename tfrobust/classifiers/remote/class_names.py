"""The names of an endpoint's classes: where they come from, and in which order they are numbered.

TensorFlow Serving's metadata has none. A Classify signature answers pairs of a name and a score,
the most probable first, and other models have an output of names beside their scores. Both say what
the classes are called and not how they are numbered, which the labels of a scenario are compared
by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tfrobust.errors import EndpointError, UsageError, one_line
from tfrobust.files.record_types import is_text

_LONGEST = 2**22  # bytes of a file of names
_FIXED = "all_classes"  # TensorFlow's estimators name all classes in their order by this output

Names = tuple[str, ...]


def read_names(path: Path) -> Names:
    """Return the names of a file: one a line, in the order of the classes.

    Raises:
        UsageError: it cannot be read, or names no two classes, or one of them twice.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"labels: {path}: cannot be read as text; check its path") from error
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) < 2 or len(set(names)) < len(names) or not all(map(is_text, names)):
        raise UsageError(f"labels: {path}: expected a name of each class, one a line, none twice")
    return names


def texts(values: np.ndarray) -> np.ndarray:
    """Return text that came as bytes or as strings, object array of `str` of the same shape."""
    flat = [
        one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in values.flat
    ]
    return np.array([*flat, None], object)[:-1].reshape(values.shape)


def beside(outputs: Mapping[str, np.ndarray], scores: str) -> str | None:
    """Return the output that names the class of each score; `None`: there is none."""
    shape = outputs[scores].shape if scores in outputs else None
    fitting = [
        name
        for name, values in outputs.items()
        if name != scores and values.shape == shape and values.dtype.kind in "SUO"
    ]
    return _FIXED if _FIXED in fitting else fitting[0] if len(fitting) == 1 else None


def in_order(answered: np.ndarray, output: str, given: Names, scenario: Sequence[str]) -> Names:
    """Return the names of all classes in their order.

    Args:
        answered: `(1, names)`: those of one answer, in any order.
        output: that they came from.
        given: by the user; none: not given.
        scenario: the names of the images' classes.

    Raises:
        EndpointError: nobody tells the order, or the names are others.
    """
    names = tuple(texts(answered[0]).tolist())
    if len(set(names)) < len(names) or not all(map(is_text, names)):
        raise EndpointError(f"output {output!r}: expected names of classes, none of them twice")
    if given:
        if unknown := set(names) - set(given):
            raise EndpointError(
                f"output {output!r}: names a class {one_line(min(unknown), 80)!r} that --labels "
                "does not; give the names of this model"
            )
        return given
    if set(names) <= set(scenario):
        return tuple(scenario)
    if set(names) == {str(number) for number in range(len(names))}:
        return tuple(map(str, range(len(names))))
    if output == _FIXED:
        return names
    raise EndpointError(
        f"output {output!r}: names the classes ({one_line(', '.join(names), 80)}) and not their "
        "order; give it by --labels FILE, one name a line"
    )


def by_class(values: np.ndarray, names: np.ndarray, order: Names) -> np.ndarray:
    """Return scores in the order of the classes, `(rows, classes)`.

    Args:
        values: `(rows, classes)`, in the order of `names`.
        names: `(rows, classes)`: whose they are.
        order: the classes.

    Raises:
        EndpointError: a row names other classes.
    """
    place = {name: number for number, name in enumerate(order)}
    try:
        columns = np.array([[place[name] for name in row] for row in texts(names)], np.int64)
    except KeyError as error:
        raise EndpointError(f"an answer names a class that is not known: {error}") from None
    if columns.shape != values.shape or not _each_once(columns, len(order)):
        raise EndpointError(f"expected a score of each of {len(order)} classes in every answer")
    sorted_ = np.empty_like(values)
    np.put_along_axis(sorted_, columns, values, axis=1)
    return sorted_


def _each_once(columns: np.ndarray, classes: int) -> bool:
    return columns.shape[1:] == (classes,) and bool(
        (np.sort(columns, axis=1) == np.arange(classes)).all()
    )
