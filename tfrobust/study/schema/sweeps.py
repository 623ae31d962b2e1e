"""What a condition measures at: values of an option, distances, bins of scores."""

from __future__ import annotations

import math
from typing import Any, Literal

import pydantic

from tfrobust.study.schema.measured import Declared

_MOST = 10_000  # values, or bins


class Bins(Declared):
    """The bins of a histogram of scores."""

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
            ValueError: they are too many.
        """
        found = range(self.first, self.last + 1, self.step)
        if len(found) > _MOST:
            raise ValueError(f"expected at most {_MOST} values")
        return list(found)


class Sweep(Declared):
    """An attack at several values of one of its options.

    Each figure of the attack then has a value's name behind it, `plain.accuracy@40`, and its mean
    over `averaged` is `plain.accuracy@mean`. Values may be given as `{ first, last, step }`.
    """

    option: str
    values: tuple[float, ...] = pydantic.Field(min_length=1)
    averaged: tuple[float, ...] = ()

    @pydantic.field_validator("values", mode="before")
    @classmethod
    def _spelled_out(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return Steps.model_validate(given).values

    @property
    def names(self) -> dict[float, str]:
        """Each value as figures spell it."""
        return {value: f"{value:g}" for value in self.values}

    def mean(self, by_value: dict[str, float]) -> float | None:
        """Return the mean over `averaged` of a figure by the names of values, or `None`."""
        found = [by_value.get(f"{value:g}") for value in self.averaged or self.values]
        known = [value for value in found if value is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(found) else None


class Within(Declared):
    """A distance that a change must keep to, in any norm: the figure `accuracy_within`."""

    norm: Literal["l0", "l1", "l2", "linf"]
    distance: float = pydantic.Field(gt=0)
