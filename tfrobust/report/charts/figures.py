"""Figures by Matplotlib: accuracy against the budget."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tfrobust.report.charts.axes import Axis, Line, lines_on
from tfrobust.report.charts.colours import COLOURS
from tfrobust.results.metrics import wilson
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation, Results

DASHES = ("-", "--", ":", "-.")
_METADATA = ("Creator", "Date", "Format", "Type")  # left out: they hold addresses


def draw(axes: Axes, axis: Axis, results: Results, outcomes: Outcomes | None) -> None:
    """Draw the accuracy of every classifier under every attack.

    Budgeted attacks give a point an evaluated budget; a minimum-norm attack gives the whole curve
    from its distances. Bands are 95 % intervals.

    Args:
        axes: what is drawn on.
        axis: what accuracy is drawn against.
        results: of an evaluation.
        outcomes: of the same run; `None`: minimum-norm attacks give no whole curve.
    """
    for number, evaluation in enumerate(results.evaluations):
        for style, (name, line) in enumerate(lines_on(axis, evaluation).items()):
            values, shares, bands = points(axis, number, evaluation, line, outcomes)
            colour, dash = COLOURS[number % len(COLOURS)], DASHES[style % len(DASHES)]
            label = f"{evaluation.classifier.name} · {name}".replace("$", r"\$")
            marker = "o" if len(line) >= len(values) - 1 else None
            axes.plot(values, shares, dash, color=colour, marker=marker, ms=4, label=label)
            low, high = np.transpose(bands)
            axes.fill_between(values, low, high, color=colour, alpha=0.12, linewidth=0)
        if axis.option == "eps":
            _draw_certified(axes, axis, COLOURS[number % len(COLOURS)], evaluation)
    _decorate(axes, axis)


def _draw_certified(axes: Axes, axis: Axis, colour: str, evaluation: Evaluation) -> None:
    """Draw what is proven at the budgets: the lower bound of every attack's line."""
    for certificate in evaluation.certificates:
        if certificate.norm != axis.norm or not certificate.within:
            continue
        budgets = [within.eps for within in certificate.within]
        low, high = np.transpose([within.interval for within in certificate.within])
        label = f"{evaluation.classifier.name} · certified by {certificate.name}"
        shares = [within.accuracy for within in certificate.within]
        axes.plot(budgets, shares, "^-.", color=colour, ms=5, label=label.replace("$", r"\$"))
        axes.fill_between(budgets, low, high, color=colour, alpha=0.12, linewidth=0)


def as_svg(figure: Figure, salt: str) -> str:
    """Return a figure as an SVG element: the same text for the same figure and `salt`."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=dict.fromkeys(_METADATA))
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _decorate(axes: Axes, axis: Axis) -> None:
    axes.set_xlabel(axis.label)
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.02)
    if axis.from_clean:
        axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    lines = axes.get_lines()
    axes.legend(lines, [str(line.get_label()) for line in lines], frameon=False, fontsize=8)


def points(
    axis: Axis,
    number: int,
    evaluation: Evaluation,
    line: Line,
    outcomes: Outcomes | None,
) -> tuple[list[float], list[float], list[tuple[float, float]]]:
    """Return values, accuracies and intervals of one attack, from 0 on where that changes none.

    Args:
        axis: what accuracy is drawn against.
        number: of the evaluation in its run, from 0.
        evaluation: itself.
        line: the runs of the attack.
        outcomes: of the run; `None`: a minimum-norm attack gives points, and no whole curve.
    """
    k, attack = line[0]
    distances = f"e{number}_a{k}_{axis.norm}"
    if outcomes and attack.minimum_norm and distances in outcomes.types:
        right = outcomes.column(f"e{number}_clean") == outcomes.column("label")
        distance = outcomes.column(distances)
        broken = np.where(outcomes.row(number, k, "reached"), distance, np.inf)
        finite = broken[right & np.isfinite(broken)]
        grid = np.linspace(0, 1.05 * (finite.max() if len(finite) else 1.0), 60)
        left = [int((right & (broken > eps)).sum()) for eps in grid]
        count = len(right)
        return grid.tolist(), [n / count for n in left], [wilson(n, count) for n in left]
    points = sorted(
        (float(a.params.get(axis.option) or 0), a.accuracy, a.interval) for _, a in line
    )
    if axis.from_clean:
        points.insert(0, (0.0, evaluation.clean.accuracy, evaluation.clean.interval))
    values, shares, bands = zip(*points, strict=True)
    return list(values), list(shares), list(bands)
