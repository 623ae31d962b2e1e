"""Figures for notebooks and papers: what the page draws, as figures of Matplotlib."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

from tfrobust.errors import UsageError
from tfrobust.report.charts.axes import axes_of
from tfrobust.report.charts.figures import draw
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Results

_WIDTH, _HEIGHT = 6.4, 4.0  # inches of a panel


class Drawing(Figure):
    """A figure that a notebook shows, whether or not pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()


class Plots:
    """Figures of results.

    Args:
        results: of an evaluation.

    Example:
        >>> Results.load("runs/d1").plot.curves().savefig("curves.pdf")
    """

    def __init__(self, results: Results) -> None:
        self._results = results

    def curves(self, outcomes: Outcomes | None = None) -> Figure:
        """Return accuracy against the budget, a panel a norm and a swept option.

        Args:
            outcomes: of the same run; with them attacks that minimise a distance give a whole
                curve, without them a point a budget.

        Raises:
            UsageError: no attack has a budget or a swept option.
        """
        axes = axes_of(self._results)
        if not axes:
            raise UsageError("curves: expected an attack with a budget; evaluate with --eps")
        figure = Drawing(figsize=(_WIDTH * len(axes), _HEIGHT), layout="constrained")
        panels = figure.subplots(1, len(axes), squeeze=False)[0]
        for panel, axis in zip(panels, axes, strict=True):
            draw(panel, axis, self._results, outcomes)
        return figure
