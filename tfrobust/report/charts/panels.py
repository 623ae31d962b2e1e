"""Curves that can be read: a panel a classifier and norm, all together in front, attacks behind.

The SVG is written by hand, with text that is text and colours that follow the page, dark or light.
It needs no script: a title on each point says its figure. The page's script adds the rest.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.charts.axes import Axis, axes_of
from tfrobust.report.charts.lines import DrawnLine, drawn_lines
from tfrobust.report.charts.scales import Scale
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Results

WIDTH, HEIGHT = 340, 236  # of a panel, in units of its view box
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 10, 10, 40  # margins of the axes in it
_MOST_MARKED = 20  # points: more are a curve, which needs no marks
_Point = tuple[float, float]


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
        kind: that of a `DrawnLine`; the page's colours go by it.
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
    """Curves on one axis.

    Attributes:
        title: above them, such as the classifier.
        label: under the axis.
        says: what a reader who does not see it is told.
        ticks: position and text of the marks under the axis.
        curves: the most important last, in front of the others.
        scale: of the axis, by which the page's script reads a curve between its marks; none: it
            reads marks alone.
    """

    title: str
    label: str
    says: str
    ticks: list[tuple[float, str]]
    curves: list[Curve]
    scale: Scale | None = None


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
        "top": _TOP,
        "bottom": HEIGHT - _BOTTOM,
        "shares": [(_y(share), f"{100 * share:.0f}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
    }


def drawn_panel(
    *,
    title: str,
    label: str,
    says: str,
    lines: Sequence[DrawnLine],
    scale: Scale,
    said: Callable[[DrawnLine, int], str],
) -> Panel:
    """Return lines as a panel.

    Args:
        title: of the panel.
        label: under its axis.
        says: what a reader who does not see it is told.
        lines: the most important one last, in front.
        scale: of the axis.
        said: gives the figure of a point of a line by its number, for its mark.
    """
    return Panel(
        title=title,
        label=label,
        says=says,
        ticks=[(_x(tick, scale), f"{tick:g}") for tick in scale.ticks()],
        curves=[_curve(line, scale, said) for line in lines],
        scale=scale,
    )


def spoken(what: str, lines: Sequence[DrawnLine]) -> str:
    """Return the ends of the most important line, which is the last, in words."""
    line = lines[-1]
    first, last = line.shares[0], line.shares[-1]
    return (
        f"{what}: {line.name} from {100 * first:.1f} % at {line.values[0]:g} to "
        f"{100 * last:.1f} % at {line.values[-1]:g}; {len(lines)} line{'s' * (len(lines) != 1)}."
    )


def _panels_on(axis: Axis, results: Results, outcomes: Outcomes) -> Iterator[Panel]:
    drawn = [
        (evaluation, list(drawn_lines(axis, number, evaluation, outcomes)))
        for number, evaluation in enumerate(results.evaluations)
    ]
    values = [value for _, lines in drawn for line in lines for value in line.values]
    low, high = min(values, default=0.0), max(values, default=1.0)
    scale = Scale(0.0 if axis.from_clean else low, high)
    for evaluation, lines in drawn:
        if lines:
            yield drawn_panel(
                title=evaluation.classifier.name,
                label=axis.label,
                says=spoken(f"Accuracy against {axis.label}", lines),
                lines=lines,
                scale=scale,
                said=functools.partial(_said, axis),
            )


def _curve(line: DrawnLine, scale: Scale, said: Callable[[DrawnLine, int], str]) -> Curve:
    xs = [_x(value, scale) for value in line.values]
    outline: list[_Point] = []
    if line.kind != "attack" and line.bands:
        lower, upper = (
            _placed(xs, [band[end] for band in line.bands], stepped=line.stepped) for end in (0, 1)
        )
        outline = [*upper, *reversed(lower)]
    every = list(range(len(xs))) if len(xs) <= _MOST_MARKED else []
    marked = every if line.marked is None else line.marked
    path = _placed(xs, line.shares, stepped=line.stepped)
    return Curve(
        name=line.name,
        kind=line.kind,
        path="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in path),
        band=" ".join(f"{x:.1f},{y:.1f}" for x, y in outline),
        marks=[Mark(round(xs[k], 1), round(_y(line.shares[k]), 1), said(line, k)) for k in marked],
    )


def _placed(xs: Sequence[float], shares: Sequence[float], *, stepped: bool) -> list[_Point]:
    """Return the points of a line; of a stepped one the corners too."""
    points = [(x, _y(share)) for x, share in zip(xs, shares, strict=True)]
    if not stepped:
        return points
    corners = [
        point
        for (before, _), (x, y) in itertools.pairwise(points)
        for point in ((before, y), (x, y))
    ]
    return [*points[:1], *corners]


def _said(axis: Axis, line: DrawnLine, k: int) -> str:
    """Return the figure of a point: `pgd, L∞ ≤ 0.1: 41.0 % [36.0, 46.0]`."""
    where = f"{axis.option} = {line.values[k]:g}"
    if axis.norm:
        where = f"{NORM_TITLES[axis.norm]} ≤ {line.values[k]:g}"
    return f"{line.name}, {where}: {with_band(line, k)}"


def with_band(line: DrawnLine, k: int) -> str:
    """Return the share of a point with its interval: `41.0 % [36.0, 46.0]`."""
    share = f"{100 * line.shares[k]:.1f} %"
    if not line.bands:
        return share
    low, high = line.bands[k]
    return f"{share} [{100 * low:.1f}, {100 * high:.1f}]"


def _x(value: float, scale: Scale) -> float:
    return _LEFT + scale.place(value) * (WIDTH - _RIGHT - _LEFT)


def _y(share: float) -> float:
    return float(np.interp(share, (0.0, 1.0), (HEIGHT - _BOTTOM, _TOP)))
