"""Figures of cells, as a study file refers to them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pydantic

from tfrobust.errors import CONTROLS


class Declared(pydantic.BaseModel):
    """A part of a study file: it may not be changed, nor say what is not foreseen."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @pydantic.field_validator("*")
    @classmethod
    def _writes_to_no_terminal(cls, given: Any) -> Any:
        left = [given]
        while left:
            value = left.pop()
            if isinstance(value, dict):
                left += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                left += value
            elif isinstance(value, str) and CONTROLS.search(re.sub("[\n\t]", "", value)):
                raise ValueError("expected a text without control characters")
        return given


class Measured(Declared):
    """A figure of a cell, or the difference or ratio of two.

    Attributes:
        condition: whose cell.
        figure: in it.
        less: what is taken from it.
        over: what it is divided by.
    """

    condition: str
    figure: str
    less: Measured | None = None
    over: Measured | None = None

    @pydantic.model_validator(mode="after")
    def _is_one_of_both(self) -> Measured:
        if self.less is not None and self.over is not None:
            raise ValueError("expected `less` or `over`, and not both")
        return self

    @property
    def parts(self) -> Iterator[Measured]:
        """Itself, and those that are taken from it or that it is divided by."""
        yield self
        if self.other is not None:
            yield from self.other.parts

    def combined(self, value: float, other: float | None) -> float | None:
        """Return a value less or over the other's; `None` without that, or over nothing."""
        if self.other is None:
            return value
        if other is None or (self.over is not None and other == 0):
            return None
        return value - other if self.less is not None else value / other

    @property
    def other(self) -> Measured | None:
        """What is taken from it or it is divided by."""
        return self.less or self.over
