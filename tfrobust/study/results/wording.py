"""Figures and checks of a study, as reports word them."""

from __future__ import annotations

from tfrobust.study.results.estimates import UNBOUNDED
from tfrobust.study.results.margins import Interval
from tfrobust.study.schema.figure_names import FigureName
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check, Unit
from tfrobust.study.schema.study import Study

_POINT = 1e-9  # an interval that is no longer has no ends worth telling


def check_in_words(study: Study, check: Check) -> str:
    """Return what a check compares and expects, with the titles of its networks."""
    value = _measured_in_words(study, check.value)
    if check.kind in ("rising", "falling"):
        return f"{value}; {check.kind} from first to last{_how_far(check)}"
    if check.winners:
        winners = ", ".join(study.networks[name].title for name in check.winners)
        if check.kind == "leap":
            return f"{value}; the greatest rise leads to {winners}"
        place = {1: "", 2: "second "}.get(check.place, f"{check.place}th ")
        return f"{value}; {place}{check.kind} for {'one of ' * (',' in winners)}{winners}"
    sign = {"below": "≤", "above": "≥", "within": "within ±"}[check.kind]
    return f"{value}; {sign} {formatted(check.bound or 0.0, check.unit)} for all"


def _how_far(check: Check) -> str:
    by, most = formatted(check.by, check.unit), formatted(check.at_most or 0.0, check.unit)
    apart = f" by {by} or more" if check.by else ""
    if check.at_most is not None:
        apart = f" by {by} to {most}"
    slack = f", none behind another by more than {formatted(check.tolerance, check.unit)}"
    return apart + (slack if check.tolerance else "")


def _measured_in_words(study: Study, measured: Measured) -> str:
    view, _, figure = measured.figure.partition(".")
    name, _, value = figure.partition("@")
    named = name.replace("_", " ").replace(".", ", ") + (f" at {value}" if value else "")
    named = named.replace(" at mean", ", mean")
    words = f"{study.conditions[measured.condition].title} {study.views[view].title}: {named}"
    if measured.other is None:
        return words
    operator, other = "less" if measured.less else "÷", _measured_in_words(study, measured.other)
    return f"{words}, {operator} {f'({other})' if measured.other.other else other}"


def told(value: float, unit: Unit = "percent", *, points: bool = False) -> str:
    """Return a figure as a sentence says it; a difference of shares has points.

    Example:
        >>> told(0.348), told(0.015, points=True), told(0.0021, "number")
        ('34.8 %', '1.5 points', '2.10e-03')
    """
    if unit == "number":
        return formatted(value, unit)
    number = f"{100 * value:.1f}"
    number = number.removesuffix(".0") if abs(value) < _POINT or value == 1 else number
    number = "0" if number == "-0" else number.replace("-", "−")
    return f"{number} points" if points else f"{number} %"


def in_points(check: Check) -> bool:
    """Tell whether a check's figure is a difference of shares."""
    gain = FigureName.parse(check.value.figure).name == "gain"
    return check.unit == "percent" and (check.value.less is not None or gain)


def interval_in_words(interval: Interval, unit: Unit) -> str:
    """Return the ends of an interval, in per cent or points without the sign; of a point, nothing.

    Example:
        >>> interval_in_words(Interval(0.015, 0.004, 0.026), "percent")
        '[0.4, 2.6]'
    """
    ends = (interval.low, interval.high)
    if interval.high - interval.low < _POINT:
        return ""
    if unit == "percent":
        texts = (f"{round(100 * end, 1) + 0.0:.1f}".replace("-", "−") for end in ends)
        return f"[{', '.join(texts)}]"
    return f"[{', '.join('∞' if end >= UNBOUNDED else formatted(end, unit) for end in ends)}]"


def formatted(value: float, unit: Unit) -> str:
    """Return a figure as tables show it: a share in per cent, a number with three digits or so.

    Example:
        >>> formatted(0.125, "percent"), formatted(0.125, "number")
        ('12.5%', '0.125')
    """
    if unit == "percent":
        return f"{value:.1%}"
    if value == 0:
        return "0"
    if abs(value) < 1:
        return f"{value:.3g}" if abs(value) >= 0.05 else f"{value:.2e}"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
