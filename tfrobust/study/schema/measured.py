"""Figures of cells, as a study file refers to them."""

from __future__ import annotations

from collections.abc import Iterator

import pydantic

from tfrobust.study.schema.declared import Declared


class Measured(Declared):
    """A figure of a cell, or the difference or ratio of two.

    Attributes:
        condition: the condition of the cell.
        figure: its name in the cell, such as `plain.accuracy`.
        less: the figure that is subtracted from it.
        over: the figure that it is divided by.
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
        """Itself, and the figures that are subtracted from it or that it is divided by."""
        yield self
        if self.other is not None:
            yield from self.other.parts

    def combined(self, value: float, other: float | None) -> float | None:
        """Return the difference or ratio of two values; `None` without the other, or over zero."""
        if self.other is None:
            return value
        if other is None or (self.over is not None and other == 0):
            return None
        return value - other if self.less is not None else value / other

    @property
    def other(self) -> Measured | None:
        """The figure that is subtracted from it or that it is divided by."""
        return self.less or self.over
