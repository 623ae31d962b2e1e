"""What a condition measures at: values of an option, distances, bins of scores."""

from __future__ import annotations

import math
from typing import Any, Literal

import pydantic

from tfrobust.study.schema.declared import Declared

MEAN = "mean"  # stands behind a figure where a value of the sweep would: the mean over them
_MOST = 10_000  # values, or bins


class Bins(Declared):
    """The bins of a histogram of scores.

    Attributes:
        detector: the detector whose scores are counted.
        low: the lower end of the first bin; lower scores count there too.
        high: the upper end of the last bin; higher scores count there too.
        count: how many bins of the same width.
    """

    detector: str
    low: float
    high: float
    count: int = pydantic.Field(ge=1, le=_MOST)


class Steps(Declared):
    """Whole numbers from `first` to `last`."""

    first: int
    last: int
    step: int = pydantic.Field(ge=1)

    @property
    def values(self) -> list[int]:
        """All of them.

        Raises:
            ValueError: there are too many.
        """
        values = range(self.first, self.last + 1, self.step)
        if len(values) > _MOST:
            raise ValueError(f"expected at most {_MOST} values")
        return list(values)


class Sweep(Declared):
    """An attack at several values of one of its options.

    Each figure of the attack then has a value's name behind it, `plain.accuracy@40`, and its mean
    over `averaged` is `plain.accuracy@mean`. Values may be given as `{ first, last, step }`.

    Attributes:
        option: the option of the attack.
        values: what it is set to.
        averaged: the values that the mean is taken over; none: all.
    """

    option: str
    values: tuple[float, ...] = pydantic.Field(min_length=1)
    averaged: tuple[float, ...] = ()

    @pydantic.field_validator("values", mode="before")
    @classmethod
    def _list_steps(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return Steps.model_validate(given).values

    @property
    def names(self) -> dict[float, str]:
        """Each value as figures spell it."""
        return {value: f"{value:g}" for value in self.values}

    def mean(self, by_value: dict[str, float]) -> float | None:
        """Return the mean over `averaged` of a figure by the names of values, or `None`."""
        values = [by_value.get(f"{value:g}") for value in self.averaged or self.values]
        known = [value for value in values if value is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(values) else None


class Within(Declared):
    """A distance that a change must keep to, in any norm: the figure `accuracy_within`."""

    norm: Literal["l0", "l1", "l2", "linf"]
    distance: float = pydantic.Field(gt=0)
