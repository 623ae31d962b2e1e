"""Curves that can be read: a panel a classifier and norm, all together in front, attacks behind.

The SVG is written by hand, with text that is text and colours that follow the page, dark or light.
It needs no script: a title on each point says its figure. The page's script adds the rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from tfrobust.report.chart_lines import DrawnLine, drawn_lines
from tfrobust.report.curve_axes import NORM_TITLES, Axis, axes_of
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Results

WIDTH, HEIGHT = 340, 236  # of a panel, in units of its view box
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 10, 10, 40  # margins of the axes in it
_MOST_MARKED = 20  # points: more are a curve, which needs no marks


@dataclasses.dataclass(frozen=True)
class Mark:
    """A point of a curve: where it lies, and the figure it stands for."""

    x: float
    y: float
    says: str


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line of a panel.

    Attributes:
        name: in the legend.
        kind: `attack`, `worst` or `certified`.
        path: of the SVG.
        band: its 95 % interval, as the points of a polygon; none: the empty text.
        marks: with their figures.
    """

    name: str
    kind: str
    path: str
    band: str
    marks: list[Mark]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One classifier on one axis.

    Attributes:
        title: the classifier.
        label: under the axis.
        says: what a reader who does not see it is told.
        ticks: position and text of the marks under the axis.
        curves: all together last, in front of the others.
    """

    title: str
    label: str
    says: str
    ticks: list[tuple[float, str]]
    curves: list[Curve]


def panels(results: Results, outcomes: Outcomes) -> list[tuple[str, list[Panel]]]:
    """Return, for each norm and swept option, its name and a panel a classifier.

    Args:
        results: of an evaluation.
        outcomes: of the same run.
    """
    return [(axis.name, list(_panels_on(axis, results, outcomes))) for axis in axes_of(results)]


def geometry() -> dict[str, Any]:
    """Return the sizes that the template draws the axes by."""
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": _LEFT,
        "right": WIDTH - _RIGHT,
        "bottom": HEIGHT - _BOTTOM,
        "shares": [(_y(share), f"{100 * share:.0f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
    }


def _panels_on(axis: Axis, results: Results, outcomes: Outcomes) -> Iterator[Panel]:
    drawn = [
        (evaluation, list(drawn_lines(axis, number, evaluation, outcomes)))
        for number, evaluation in enumerate(results.evaluations)
    ]
    values = [value for _, lines in drawn for line in lines for value in line.values]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = 0.0 if axis.from_clean else low
    high = high if high > low else low + 1.0
    ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    for evaluation, lines in drawn:
        if lines:
            yield Panel(
                title=evaluation.classifier.name,
                label=axis.label,
                says=_spoken(axis, lines),
                ticks=[(_x(tick, low, high), f"{tick:g}") for tick in ticks],
                curves=[_curve(axis, line, low, high) for line in lines],
            )


def _curve(axis: Axis, line: DrawnLine, low: float, high: float) -> Curve:
    xs = [_x(value, low, high) for value in line.values]
    ys = [_y(share) for share in line.shares]
    outline = ""
    if line.kind != "attack":
        upper = [f"{x:.1f},{_y(top):.1f}" for x, (_, top) in zip(xs, line.bands, strict=True)]
        lower = [f"{x:.1f},{_y(least):.1f}" for x, (least, _) in zip(xs, line.bands, strict=True)]
        outline = " ".join([*upper, *reversed(lower)])
    every = list(range(len(xs))) if len(xs) <= _MOST_MARKED else []
    marked = every if line.marked is None else line.marked
    return Curve(
        name=line.name,
        kind=line.kind,
        path="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True)),
        band=outline,
        marks=[Mark(round(xs[k], 1), round(ys[k], 1), _said(axis, line, k)) for k in marked],
    )


def _said(axis: Axis, line: DrawnLine, k: int) -> str:
    """Return the figure of a point: `pgd, L∞ ≤ 0.1: 41.0 % [36.0, 46.0]`."""
    low, high = line.bands[k]
    where = f"{axis.option} = {line.values[k]:g}"
    if axis.norm:
        where = f"{NORM_TITLES[axis.norm]} ≤ {line.values[k]:g}"
    figure = f"{100 * line.shares[k]:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{line.name}, {where}: {figure}"


def _spoken(axis: Axis, lines: list[DrawnLine]) -> str:
    """Return the ends of the most important line in words."""
    line = lines[-1]
    first, last = line.shares[0], line.shares[-1]
    return (
        f"Accuracy against {axis.label}: {line.name} from {100 * first:.1f} % at "
        f"{line.values[0]:g} to {100 * last:.1f} % at {line.values[-1]:g}; {len(lines)} "
        f"line{'s' * (len(lines) != 1)}."
    )


def _x(value: float, low: float, high: float) -> float:
    return float(np.interp(value, (low, high), (_LEFT, WIDTH - _RIGHT)))


def _y(share: float) -> float:
    return float(np.interp(share, (0.0, 1.0), (HEIGHT - _BOTTOM, _TOP)))
