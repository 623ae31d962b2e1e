"""What parts a classifier consists of, and what they need in all."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tfrobust.model import Summary

if TYPE_CHECKING:
    from tfrobust.classifier import Classifier


@dataclasses.dataclass(frozen=True)
class Component:
    """A part of a classifier, with weights of its own.

    Attributes:
        name: of it.
        parameters: floating-point numbers.
        megabytes: of 10⁶ bytes, that they take as they are kept.
    """

    name: str
    parameters: int
    megabytes: float


@runtime_checkable
class Composed(Protocol):
    """A classifier of several parts that stand side by side."""

    def components(self) -> list[Component]:
        """Return them."""


def summarized_parts(classifier: Classifier, title: str) -> Summary | None:
    """Return the parts of a classifier, with their sum; `None` for a single network.

    Args:
        classifier: any.
        title: of the table.

    Example:
        >>> summarized_parts(stored_network("d1-b2"), "d1-b2").rows
        [('calibrater', '4,402', '0.0176'), ('network', '44,426', '0.178'), ('sum', ...)]
    """
    parts = components_of(classifier)
    if len(parts) < 2:
        return None
    size = sum(part.megabytes for part in parts)
    parameters = sum(part.parameters for part in parts)
    rows = [(p.name, f"{p.parameters:,}", f"{p.megabytes:.3g}") for p in parts]
    return Summary(
        title=title,
        columns=("part", "parameters", "MB"),
        rows=[*rows, ("sum", f"{parameters:,}", f"{size:.3g}")],
        totals={"parameters": f"{parameters:,}", "memory": f"{size:.3g} MB"},
    )


def components_of(classifier: Classifier) -> list[Component]:
    """Return the parts of a classifier that have weights, from the outermost to the innermost."""
    from tfrobust.classifiers.inference import megabytes, parameters

    if isinstance(classifier, Composed):
        return classifier.components()
    inner = classifier.inner
    if inner is None:
        return [Component("network", parameters(classifier), megabytes(classifier))]
    own = parameters(classifier) - parameters(inner)
    if not own:
        return components_of(inner)
    size = megabytes(classifier) - megabytes(inner)
    return [Component(classifier.defenses[-1].name, own, size), *components_of(inner)]
