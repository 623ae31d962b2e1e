"""What a study shows of its figures: tables, claims, verdicts, pictures. See `study.declared`."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pydantic

from tfrobust.study.schema.measured import Declared, Measured

Unit = Literal["percent", "number"]


class Column(Measured):
    """A column of a table.

    Attributes:
        beside: another condition, whose figure in the paper stands beside ours.
    """

    title: str
    unit: Unit = "percent"
    beside: str | None = None


_Figure = Annotated[float, pydantic.Field(allow_inf_nan=True)]  # nan: the paper has none


class Table(Declared):
    """A table: a row a network.

    Attributes:
        title: with the paper's number of it.
        about: what to know when reading it.
        columns: what is measured.
        paper: the paper's figures in the order of the columns; `nan` where it has none. Columns
            that stand `beside` others need none.
        rows: the networks; none: those of `paper`, or all.
    """

    title: str
    about: str = ""
    columns: tuple[Column, ...]
    paper: dict[str, tuple[_Figure | None, ...]] = pydantic.Field(default_factory=dict)
    rows: tuple[str, ...] | None = None

    @pydantic.field_validator("paper")
    @classmethod
    def _no_figure(cls, paper: dict[str, tuple[float | None, ...]]) -> Any:
        return {
            row: tuple(None if value is None or math.isnan(value) else value for value in values)
            for row, values in paper.items()
        }


class Check(Declared):
    """A comparison between networks.

    Attributes:
        kind: `rising` or `falling` along `networks`; all `below` or `above` the bound, or `within`
            it of zero; `greatest` or `least` among `networks` is one of `winners`; a `leap`: the
            greatest rise from one to the next leads to one of `winners`.
        value: what is compared.
        networks: in their order.
        tolerance: how far any may fall back behind the best before it.
        by: how far first and last must lie apart, at least.
        at_most: and at most.
        place: 2 for the second greatest or least.
        bound: for `below`, `above` and `within`.
        winners: for `greatest`, `least` and `leap`.
    """

    kind: Literal["rising", "falling", "below", "above", "within", "greatest", "least", "leap"]
    value: Measured
    networks: tuple[str, ...] = pydantic.Field(min_length=1)
    tolerance: float = 0.0
    by: float = 0.0
    at_most: float | None = None
    place: int = pydantic.Field(1, ge=1)
    bound: float | None = None
    winners: tuple[str, ...] = ()
    unit: Unit = "percent"

    @pydantic.model_validator(mode="after")
    def _is_whole(self) -> Check:
        if self.kind in ("below", "above", "within") and self.bound is None:
            raise ValueError(f"a check of kind {self.kind!r} needs a bound")
        if self.kind in ("greatest", "least", "leap") and not self.winners:
            raise ValueError(f"a check of kind {self.kind!r} needs winners")
        return self


class Claim(Declared):
    """Something the paper says; it holds if all its checks do."""

    text: str
    checks: tuple[Check, ...] = pydantic.Field(min_length=1)


class Masked(Declared):
    """When robustness counts as masked.

    A network is masked if it keeps at least `looks_robust` of the images under the `naive` attack
    and at most `falls` under the strongest of the `adaptive` ones.
    """

    title: str
    naive: Measured
    adaptive: tuple[Measured, ...]
    looks_robust: float
    falls: float


class Panel(Declared):
    """One of several plots side by side."""

    title: str
    condition: str


class Curve(Declared):
    """A line of a plot.

    Attributes:
        title: in the legend.
        network: whose cells.
        figure: without the value: `plain.accuracy`.
    """

    title: str
    network: str
    figure: str


class Curves(Declared):
    """A figure along a sweep, a panel a condition; a band over seeds.

    Attributes:
        title: with the paper's number of it.
        panels: conditions with a `sweep`.
        lines: what is drawn in each panel; or
        figure: one, without the value: `plain.accuracy`,
        networks: and a line a network.
        xlabel: what is swept.
        xscale: symlog: logarithmic from the least value above 0 on.
    """

    title: str
    panels: tuple[Panel, ...]
    lines: tuple[Curve, ...] = ()
    figure: str = ""
    networks: tuple[str, ...] = ()
    xlabel: str
    xscale: Literal["linear", "symlog"] = "linear"

    @pydantic.model_validator(mode="after")
    def _has_lines(self) -> Curves:
        if bool(self.lines) == bool(self.networks and self.figure):
            raise ValueError("expected lines, or a figure and networks, and not both")
        return self


class Bars(Declared):
    """Figures side by side, a group a network.

    Attributes:
        title: with the paper's number of it.
        condition: where they are measured.
        figures: title → figure, `plain.weight_foreground`: a bar each.
        networks: the groups.
        ylabel: what the height is.
    """

    title: str
    condition: str
    figures: dict[str, str] = pydantic.Field(min_length=1)
    networks: tuple[str, ...] = pydantic.Field(min_length=1)
    ylabel: str


class Projection(Declared):
    """Each stream's features of images, clean and attacked, in two dimensions.

    Attributes:
        title: with the paper's number of it.
        condition: which keeps them (`projected`).
        network: whose.
    """

    title: str
    condition: str
    network: str


class Histograms(Declared):
    """Scores of clean and attacked images, a picture a network."""

    title: str
    condition: str
    networks: tuple[str, ...]
    xlabel: str


class Shown(Declared):
    """What a picture shows of a cell: its images through one view.

    Attributes:
        title: of the row or panel.
        network: whose cell.
        view: through which.
        factor: show how many times as bright pixels became, and not by how much brighter.
    """

    title: str
    network: str
    view: str
    factor: bool = False


class Gallery(Declared):
    """Images and what views make of them: two rows for each, the change and what comes of it."""

    title: str
    condition: str
    rows: tuple[Shown, ...] = pydantic.Field(min_length=1)


class Scatter(Declared):
    """Points of two coordinates as views show them to a network, over its decision regions."""

    title: str
    condition: str
    panels: tuple[Shown, ...] = pydantic.Field(min_length=1)
