"""A study's curves as panels of its page, which tell their figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfrobust.report.charts.lines import DrawnLine
from tfrobust.report.charts.panels import Panel, drawn_panel, spoken
from tfrobust.report.charts.scales import Scale
from tfrobust.study.results.swept_lines import Line, Swept

_COLOURS = 6  # of lines, in the page's style


def curve_panels(swept: Swept) -> list[Panel]:
    """Return a panel for each condition; the band is one standard deviation over seeds."""
    return list(_panels(swept))


def _panels(swept: Swept) -> Iterator[Panel]:
    declared, values = swept.declared, [v for line, _ in swept.lines.values() for v in line]
    scale = Scale(min(values), max(values), swept.logarithmic_from)
    for panel in declared.panels:
        lines = [
            _drawn(number, curve.title, swept.lines[panel.condition, curve])
            for number, curve in enumerate(swept.curves)
            if (panel.condition, curve) in swept.lines
        ]
        if lines:
            yield drawn_panel(
                title=panel.title,
                label=declared.xlabel,
                says=spoken(f"Accuracy against {declared.xlabel}", lines),
                lines=lines,
                scale=scale,
                said=_said,
            )


def _drawn(number: int, title: str, line: Line) -> DrawnLine:
    values, figures = line
    mean, bands = figures.mean(axis=1), []
    if figures.shape[1] > 1:
        spread = figures.std(axis=1, ddof=1)
        low, high = np.clip([mean - spread, mean + spread], 0, 1).tolist()
        bands = list(zip(low, high, strict=True))
    return DrawnLine(title, f"c{number % _COLOURS}", values, mean.tolist(), bands)


def _said(line: DrawnLine, k: int) -> str:
    """Return the figure of a point: `BNN at 0.1: 43.2 %, 41.9 to 44.5 within one …`."""
    figure = f"{line.name} at {line.values[k]:g}: {100 * line.shares[k]:.1f} %"
    if not line.bands:
        return figure
    low, high = line.bands[k]
    return f"{figure}, one standard deviation of trainings: {100 * low:.1f} to {100 * high:.1f}"
