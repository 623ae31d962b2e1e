"""A check as a sentence with its figures: what was compared, and what came out.

`Blurred objects, accuracy, sigma = 10: joint 34.8 %, foreground 33.3 %, gain 1.5 points [0.4, 2.6]`
"""

from __future__ import annotations

import dataclasses

from tfrobust.study.results.judging import Judgement
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.margins import Interval, Margin, interval_of
from tfrobust.study.results.measures import estimated, single_figures
from tfrobust.study.results.wording import in_points, interval_in_words, told
from tfrobust.study.schema.figure_names import FigureName
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.outputs import Check, Unit
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.sweeps import MEAN

_WORDS = {"clean": "clean accuracy", "error": "share wrong"}


@dataclasses.dataclass(frozen=True)
class _Named:
    """A figure and the words that tell it from others."""

    measured: Measured
    condition: str
    view: str
    what: str
    at: str

    @property
    def words(self) -> tuple[str, str, str, str]:
        return self.condition, self.view, self.what, self.at


def sentence(study: Study, check: Check, lookup: Lookup, judgement: Judgement) -> str:
    """Return what a check compared and what came out, with an interval at every difference.

    Args:
        study: that has the check.
        check: what is compared.
        lookup: the results of one scale.
        judgement: on the check.
    """
    figures = [_named(study, part) for part in single_figures(study, check.value)]
    common = [len({figure.words[k] for figure in figures}) == 1 for k in range(4)]
    labels = [_label(figure, common) for figure in figures]
    several = len(check.networks) > 1
    told_by_network = []
    for network in check.networks:
        text = _network(check, lookup, network, list(zip(labels, figures, strict=True)))
        title = f"{study.networks[network].title}{': ' if len(figures) > 1 else ' '}"
        told_by_network.append(f"{title if several else ''}{text}")
    shared = ", ".join(word for k, word in enumerate(figures[0].words) if common[k] and word)
    alone = "" if several else f"{study.networks[check.networks[0]].title}, "
    separator = "; " if len(figures) > 1 else ", "
    heading = check.title or (alone + shared).removesuffix(", ")
    text = f"{heading}{': ' if heading else ''}{separator.join(told_by_network)}"
    margin, interval = judgement.decisive, judgement.interval
    if margin is not None and interval is not None and len(margin.weights) > 1:
        text += f"; {_compared(study, check, margin, interval)}"
    return text


def _network(check: Check, lookup: Lookup, network: str, figures: list[tuple[str, _Named]]) -> str:
    """Return one network's figures, and their difference or ratio with its interval."""
    interval = _own_interval(check, lookup, network)
    whole = "–" if interval is None else told(interval.value, check.unit, points=in_points(check))
    limits = "" if interval is None else f" {interval_in_words(interval, check.unit)}".rstrip()
    if len(figures) == 1:
        return f"{whole}{limits if check.bound is not None else ''}"
    singles = []
    for label, figure in figures:
        value = lookup.value(network, figure.measured)
        unit: Unit = "percent" if FigureName.parse(figure.measured.figure).percent else "number"
        singles.append(f"{label} {'–' if value is None else told(value, unit)}".strip())
    name = _result_name(check, [figure for _, figure in figures])
    return f"{', '.join(singles)}, {name} {whole}{limits}"


def _own_interval(check: Check, lookup: Lookup, network: str) -> Interval | None:
    """Return the interval of one network's figure over images, and over seeds if there are some."""
    by_seed = {}
    for seed in lookup.seeds:
        figure = estimated(lookup, network, check.value, seed)
        if figure is not None:
            by_seed[seed] = {network: figure}.__getitem__
    return interval_of({network: 1.0}, by_seed) if by_seed else None


def _result_name(check: Check, figures: list[_Named]) -> str:
    if check.value.over is not None:
        return "ratio"
    if len(figures) > 2:
        return "difference of differences"
    one, other = figures
    same = (one.condition, one.what, one.at) == (other.condition, other.what, other.at)
    gained = same and FigureName.parse(one.measured.figure).accuracy and check.kind != "within"
    return "gain" if gained else "difference"


def _compared(study: Study, check: Check, margin: Margin, interval: Interval) -> str:
    """Return the comparison of networks that decided, or left it open, with its interval."""
    points = check.unit == "percent"
    value = told(interval.value, check.unit, points=points)
    limits = interval_in_words(interval, check.unit)
    value = f"{value} {limits}".rstrip()
    titles = {name: study.networks[name].title for name in margin.networks}
    if len(titles) == 2:
        one, other = (titles[name] for name in margin.networks)
        return f"{one} less {other} {value}"
    most, least = margin.networks[0], margin.networks[-1]
    return f"the rise to {titles[most]} and that from {titles[least]} differ by {value}"


def _label(figure: _Named, common: list[bool]) -> str:
    """Return the words that tell a figure from the others; the value of a sweep in brackets."""
    *words, at = (
        "" if is_common else word for is_common, word in zip(common, figure.words, strict=True)
    )
    return " ".join(filter(None, [", ".join(filter(None, words)), f"({at})" if at else ""]))


def _named(study: Study, part: Measured) -> _Named:
    name, condition = FigureName.parse(part.figure), study.conditions[part.condition]
    what = _WORDS.get(name.name, name.name) if not name.detector else name.name
    what = " ".join(filter(None, [name.detector, what])).replace("_", " ")
    sweep = condition.sweep
    at = ""
    if name.value and sweep is not None:
        option = sweep.option.replace("_", " ")
        at = f"mean over {option}" if name.value == MEAN else f"{option} = {name.value}"
    return _Named(part, condition.title, study.views[name.view].title, what, at)
