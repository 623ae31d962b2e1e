"""The pictures that a study makes of its cells."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfrobust.study.schema.declared import Declared


class Panel(Declared):
    """One of several plots side by side.

    Attributes:
        title: above the plot.
        condition: whose cells it shows.
    """

    title: str
    condition: str


class Curve(Declared):
    """A line of a plot.

    Attributes:
        title: in the legend.
        network: whose cells it shows.
        figure: its name without the value of the sweep: `plain.accuracy`.
    """

    title: str
    network: str
    figure: str


class Curves(Declared):
    """A figure along a sweep, with a panel for each condition and a band over seeds.

    What a panel shows is given by `lines`, or by one `figure` of several `networks`.

    Attributes:
        title: with the number that the picture has in the paper.
        panels: conditions with a `sweep`.
        lines: what is drawn in each panel.
        figure: without the value of the sweep: `plain.accuracy`.
        networks: a line for each.
        xlabel: what is swept.
        xscale: `symlog` is logarithmic from the least value above 0.
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
    """Figures side by side, with a group of bars for each network.

    Attributes:
        title: with the number that the picture has in the paper.
        condition: whose cells it shows.
        figures: title → figure, such as `plain.weight_foreground`; a bar for each.
        networks: a group for each.
        ylabel: what the height means.
    """

    title: str
    condition: str
    figures: dict[str, str] = pydantic.Field(min_length=1)
    networks: tuple[str, ...] = pydantic.Field(min_length=1)
    ylabel: str


class Projection(Declared):
    """Each stream's features of images, clean and attacked, in two dimensions.

    Attributes:
        title: with the number that the picture has in the paper.
        condition: whose cells keep them (`projected`).
        network: whose features.
    """

    title: str
    condition: str
    network: str


class Histograms(Declared):
    """Scores of clean and attacked images, with a panel for each network.

    Attributes:
        title: with the number that the picture has in the paper.
        condition: whose cells keep a `histogram`.
        networks: a panel for each.
        xlabel: what the score is.
    """

    title: str
    condition: str
    networks: tuple[str, ...]
    xlabel: str


class ExhibitView(Declared):
    """The images that a cell keeps, through one view.

    Attributes:
        title: of the row or panel.
        network: whose cell.
        view: one that the condition judges.
        factor: show how many times as bright pixels became, and not by how much brighter.
    """

    title: str
    network: str
    view: str
    factor: bool = False


class Gallery(Declared):
    """Images and what views make of them: two rows for each view, the change and the result.

    Attributes:
        title: with the number that the picture has in the paper.
        condition: whose cells keep `exhibits`.
        rows: the views.
    """

    title: str
    condition: str
    rows: tuple[ExhibitView, ...] = pydantic.Field(min_length=1)


class Scatter(Declared):
    """Points of two coordinates as views show them to a network, over its decision regions.

    Attributes:
        title: with the number that the picture has in the paper.
        condition: whose cells keep `exhibits`.
        panels: the views.
    """

    title: str
    condition: str
    panels: tuple[ExhibitView, ...] = pydantic.Field(min_length=1)
