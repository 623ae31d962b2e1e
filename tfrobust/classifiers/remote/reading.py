"""What of an endpoint's answers is read: scores or labels, checked row by row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from tfrobust.classifiers.bounded import TINY
from tfrobust.classifiers.remote.class_names import (
    Names,
    by_class,
    texts,
)
from tfrobust.errors import EndpointError, one_line
from tfrobust.types import Logits

Kind = Literal["logits", "probabilities", "log-probabilities", "labels"]
SUM = 1e-2  # that rows of probabilities in half precision miss 1 by, with room


@dataclasses.dataclass(frozen=True)
class Reading:
    """Which output is read, and as what.

    Attributes:
        output: its name; empty: the only one.
        kind: what its numbers are.
        num_classes: how many.
        names: of the classes, in their order; none: not known.
        names_in: the output that names the class of each score; `None`: they are in order.
    """

    output: str
    kind: Kind
    num_classes: int
    # Kept answers are found by what a reading looks like, and name these by themselves.
    names: Names = dataclasses.field(default=(), repr=False)
    names_in: str | None = dataclasses.field(default=None, repr=False)

    @property
    def class_order(self) -> tuple[object, ...]:
        """What decides which number a class has: with other names an answer means another class."""
        if self.names_in is not None:
            return self.names_in, self.names
        return (self.names,) if self.kind == "labels" and self.names else ()

    def logits(self, outputs: Mapping[str, np.ndarray], images: int) -> Logits:
        """Return an answer as logits, float32 `(images, num_classes)`.

        Those of probabilities are their logarithms; those of labels are 1 for the label and else 0.
        A logarithm of zero is that of float32's least number.

        Raises:
            EndpointError: it lacks the output, or its shape, type or numbers are wrong.
        """
        values = output(outputs, self.output)
        if self.names_in is not None:
            named = output(outputs, self.names_in)
            if self.kind == "labels":
                values = _best(values, named)
            else:
                values = by_class(values, named, self.names)
        if self.kind == "labels":
            numbers = labels(values, images, self.names)
            if images and not 0 <= numbers.min() <= numbers.max() < self.num_classes:
                raise EndpointError(
                    f"output {self.output!r}: expected labels below {self.num_classes}; received: "
                    f"{numbers.max()}; say how many classes there are by --num-classes"
                )
            return np.eye(self.num_classes, dtype=np.float32)[numbers]
        expected = images, self.num_classes
        if values.shape != expected or values.dtype.kind not in "fiu":
            raise EndpointError(
                f"output {self.output!r}: expected numbers of shape {expected}; received: "
                f"{values.dtype} of shape {values.shape}"
            )
        numbers = values.astype(np.float32)
        if self.kind == "log-probabilities":
            numbers[np.isneginf(numbers)] = np.log(np.float32(TINY))
        if not np.isfinite(numbers).all():
            raise EndpointError(
                f"output {self.output!r}: holds NaN or infinity; look at the model that is served"
            )
        if self.kind != "probabilities":
            return numbers
        if not are_probabilities(numbers):
            raise EndpointError(
                f"output {self.output!r}: expected probabilities, rows with the sum 1; received "
                f"the sums {numbers.sum(axis=1).min():g} to {numbers.sum(axis=1).max():g}"
            )
        return np.log(np.maximum(numbers, TINY)).astype(np.float32)


def output(outputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """Return an output of an answer.

    Raises:
        EndpointError: there is no such output.
    """
    if name not in outputs and len(outputs) == 1 and "" in outputs:
        return outputs[""]  # a server leaves out the name of an only output
    if name not in outputs:
        known = ", ".join(one_line(known, 80) for known in outputs) or "none"
        raise EndpointError(f"the answer has no output {name!r} (there are: {known})")
    return outputs[name]


def _best(values: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Return the name of each row's largest score, object `(rows,)`.

    Raises:
        EndpointError: the two differ in form.
    """
    if values.shape != names.shape or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise EndpointError(
            f"expected a name of each score; received: {names.shape} names of {values.shape} scores"
        )
    best = values.argmax(axis=1)[:, np.newaxis]
    return np.take_along_axis(texts(names), best, axis=1)[:, 0]


def labels(values: np.ndarray, images: int, names: Names = ()) -> np.ndarray:
    """Return labels, int64 `(images,)`; numbers that are written as text are labels too.

    Args:
        values: numbers or text, an image each.
        images: how many.
        names: of the classes, where they are text.

    Raises:
        EndpointError: they are none.
    """
    flat = values.reshape(-1) if values.shape in ((images,), (images, 1)) else None
    try:
        if flat is not None and flat.dtype.kind in "iu":
            return flat.astype(np.int64)
        if flat is not None and flat.dtype.kind in "SUO":
            place = {name: number for number, name in enumerate(names)}
            words = texts(flat).tolist()
            return np.array([place[w] if w in place else int(w) for w in words], np.int64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise EndpointError(
        f"expected scores (images, classes) or one whole number an image; received: {values.dtype} "
        f"of shape {values.shape}; choose another output by --output, or give the names of the "
        "classes by --labels FILE"
    )


def are_probabilities(rows: np.ndarray) -> bool:
    """Tell whether rows are in [0, 1] with the sum 1."""
    inside = bool((rows >= 0).all() and (rows <= 1 + SUM).all())
    return inside and bool(np.abs(rows.sum(axis=1) - 1).max(initial=0.0) < SUM)
