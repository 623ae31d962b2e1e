"""A study's pictures, drawn like the paper's: curves along a sweep, histograms of scores."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from tfrobust.report.charts.colours import COLOURS
from tfrobust.report.charts.figures import as_svg
from tfrobust.report.charts.panels import Panel
from tfrobust.study.results.curve_charts import curve_panels
from tfrobust.study.results.exhibit_figures import exhibited
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.swept_lines import Swept, swept_curves
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.pictures import Bars, Histograms
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.sweeps import Bins


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a study.

    Attributes:
        title: of it.
        svg: the file that `report.md` shows.
        panels: the same for the page, where it is curves; else none, and the page shows the file.
    """

    title: str
    svg: str
    panels: list[Panel] = dataclasses.field(default_factory=list)


def pictures(study: Study, lookup: Lookup) -> list[Picture]:
    """Return a picture for each that is declared and whose cells are finished."""
    swept = (
        Picture(one.declared.title, _draw_curves(one), curve_panels(one))
        for one in swept_curves(study, lookup)
    )
    drawn = [*_bars(study, lookup), *_histograms(study, lookup)]
    return [
        *(Picture(*drawing) for drawing in exhibited(study, lookup)),
        *swept,
        *(Picture(*drawing) for drawing in drawn),
    ]


def _draw_curves(swept: Swept) -> str:
    declared, curves, lines = swept.declared, swept.curves, swept.lines
    panels = [p for p in declared.panels if any((p.condition, c) in lines for c in curves)]
    columns = 2 if len(panels) in (1, 2, 4) else 3  # one panel is as large as one of two
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(9.2, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    named: set[str] = set()  # lines that a legend has named
    for panel, axis in zip(panels, axes.flat, strict=False):
        for number, curve in enumerate(curves):
            if (panel.condition, curve) not in lines:
                continue
            values, figures = lines[panel.condition, curve]
            colour, mean = COLOURS[number % len(COLOURS)], figures.mean(axis=1)
            axis.plot(values, mean, color=colour, marker="o", ms=2.5, lw=1.4, label=curve.title)
            if figures.shape[1] > 1:  # the band: one standard deviation over seeds
                spread = figures.std(axis=1, ddof=1)
                axis.fill_between(values, mean - spread, mean + spread, color=colour, alpha=0.15)
        if (least := swept.logarithmic_from) is not None:
            axis.set_xscale("symlog", linthresh=least, linscale=0.3)
        axis.set_title(panel.title, fontsize=9)
        titles = set(axis.get_legend_handles_labels()[1])
        if titles - named:  # a panel with the same lines as those before needs no legend
            axis.legend(frameon=False, fontsize=7)
        named |= titles
        axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    figure.supxlabel(declared.xlabel, fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    return as_svg(figure, declared.title)


def _bars(study: Study, lookup: Lookup) -> list[tuple[str, str]]:
    drawings = []
    for declared in study.bars:
        heights = {
            network: [
                lookup.value(network, Measured(condition=declared.condition, figure=figure))
                for figure in declared.figures.values()
            ]
            for network in declared.networks
        }
        known = {name: row for name, row in heights.items() if None not in row}
        if known:
            drawings.append((declared.title, _draw_bars(study, declared, known)))
    return drawings


def _draw_bars(study: Study, declared: Bars, heights: Mapping[str, Sequence[Any]]) -> str:
    figure = Figure(figsize=(9.2, 2.8), layout="constrained")
    axis = figure.subplots(1, 2, width_ratios=(len(heights), max(0.01, 6 - len(heights))))[0]
    figure.axes[1].set_visible(False)  # a group is as wide, however many there are
    places, width = np.arange(len(heights)), 0.8 / len(declared.figures)
    for number, title in enumerate(declared.figures):
        column = [row[number] for row in heights.values()]
        axis.bar(places + number * width, column, width, label=title, color=COLOURS[number])
    titles = [textwrap.fill(study.networks[name].title, 18) for name in heights]
    axis.set_xticks(places + 0.4 - width / 2, titles, fontsize=7)
    axis.set_ylabel(declared.ylabel, fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return as_svg(figure, declared.title)


def _histograms(study: Study, lookup: Lookup) -> list[tuple[str, str]]:
    drawings = []
    for declared in study.histograms:
        bins = study.conditions[declared.condition].histogram
        if bins is not None and (panels := _panels(study, declared, lookup)):
            drawings.append((declared.title, _draw_histograms(declared, bins, panels)))
    return drawings


HistogramPanel = tuple[str, dict[str, list[int]]]  # its title; kind of images → counts


def _panels(study: Study, declared: Histograms, lookup: Lookup) -> list[HistogramPanel]:
    panels = []
    for network in declared.networks:
        for result in lookup.of(network, declared.condition)[:1]:  # the first seed
            if result.histograms:
                panels.append((study.networks[network].title, result.histograms))
    return panels


def _draw_histograms(declared: Histograms, bins: Bins, panels: Sequence[HistogramPanel]) -> str:
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.3 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    edges = np.linspace(bins.low, bins.high, bins.count + 1)
    for k, panel in enumerate(axes.flat):
        if k >= len(panels):
            panel.set_visible(False)
            continue
        title, counts = panels[k]
        for kind, colour, label in (
            ("clean", COLOURS[0], "clean"),
            ("adversarial", COLOURS[1], "attacked"),
        ):
            panel.stairs(counts[kind], edges, fill=True, color=colour, alpha=0.6, label=label)
        panel.set_title(title, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=7)
        panel.set_yscale("symlog", linthresh=10)
        panel.yaxis.set_major_formatter(ScalarFormatter())
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.supxlabel(declared.xlabel, fontsize=9)
    figure.supylabel("images", fontsize=9)
    return as_svg(figure, declared.title)
