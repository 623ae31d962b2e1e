"""A study's pictures: histograms of scores, as in the paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfrobust.report.figures import COLOURS, as_svg
from tfrobust.study.cells import Finished
from tfrobust.study.declared import Bins, Histograms, Study


def histogram_svgs(study: Study, finished: Finished) -> list[tuple[str, str]]:
    """Return `(title, SVG)` for each histogram whose cells are finished."""
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
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.supxlabel(declared.xlabel, fontsize=9)
    figure.supylabel("images", fontsize=9)
    return as_svg(figure, declared.title)
