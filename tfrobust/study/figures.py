"""A study's pictures, drawn like the paper's: curves along a sweep, histograms of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from tfrobust.report.figures import COLOURS, as_svg
from tfrobust.study.declared import Bins, Study
from tfrobust.study.exhibit_figures import exhibited
from tfrobust.study.finished import Finished
from tfrobust.study.shown import Curves, Histograms, Measured


def pictures(study: Study, finished: Finished) -> list[tuple[str, str]]:
    """Return `(title, SVG)` for each picture whose cells are finished."""
    return [
        *exhibited(study, finished),
        *_curves(study, finished),
        *_all_histograms(study, finished),
    ]


def _curves(study: Study, finished: Finished) -> list[tuple[str, str]]:
    drawn = []
    for declared in study.curves:
        lines = {
            (panel.condition, network): line
            for panel in declared.panels
            for network in declared.networks
            if (line := _line(study, declared, panel.condition, network, finished)) is not None
        }
        if lines:
            drawn.append((declared.title, _curves_drawn(study, declared, lines)))
    return drawn


Line = tuple[list[float], np.ndarray]  # values of the sweep; figures (values, seeds)


def _line(
    study: Study, declared: Curves, condition: str, network: str, finished: Finished
) -> Line | None:
    sweep = study.conditions[condition].sweep
    if sweep is None:
        return None
    figures = [
        finished.values(network, Measured(condition=condition, figure=f"{declared.figure}@{name}"))
        for name in sweep.names.values()
    ]
    return (list(sweep.names), np.array(figures)) if all(figures) else None


def _curves_drawn(study: Study, declared: Curves, lines: dict[tuple[str, str], Line]) -> str:
    columns = min(2, len(declared.panels))
    rows = -(-len(declared.panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel in axes.flat[len(declared.panels) :]:
        panel.set_visible(False)
    for panel, axis in zip(declared.panels, axes.flat, strict=False):
        for number, network in enumerate(declared.networks):
            if (panel.condition, network) not in lines:
                continue
            values, figures = lines[panel.condition, network]
            colour, mean = COLOURS[number % len(COLOURS)], figures.mean(axis=1)
            title = study.networks[network].title
            axis.plot(values, mean, color=colour, marker="o", ms=2.5, lw=1.4, label=title)
            if figures.shape[1] > 1:  # the band: one standard deviation over seeds
                spread = figures.std(axis=1, ddof=1)
                axis.fill_between(values, mean - spread, mean + spread, color=colour, alpha=0.15)
        axis.set_title(panel.title, fontsize=9)
        axis.set_ylim(-0.02, 1.02)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    axes.flat[0].legend(frameon=False, fontsize=7)
    figure.supxlabel(declared.xlabel, fontsize=9)
    figure.supylabel("accuracy", fontsize=9)
    return as_svg(figure, declared.title)


def _all_histograms(study: Study, finished: Finished) -> list[tuple[str, str]]:
    drawn = []
    for declared in study.histograms:
        bins = study.conditions[declared.condition].histogram
        if bins is not None and (panels := _panels(study, declared, finished)):
            drawn.append((declared.title, _drawn(declared, bins, panels)))
    return drawn


Panel = tuple[str, dict[str, list[int]]]


def _panels(study: Study, declared: Histograms, finished: Finished) -> list[Panel]:
    panels = []
    for network in declared.networks:
        for result in finished.of(network, declared.condition)[:1]:  # the first seed
            if result.histograms:
                panels.append((study.networks[network].title, result.histograms))
    return panels


def _drawn(declared: Histograms, bins: Bins, panels: Sequence[Panel]) -> str:
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
