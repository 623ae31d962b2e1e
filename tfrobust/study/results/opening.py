"""The lines that a report opens with, their figures looked up in the cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tfrobust.study.results.freshness import codes_of
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.wording import told
from tfrobust.study.schema.figure_names import FigureName
from tfrobust.study.schema.outputs import Unit
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.summary import ALL, Placeholder, filled, placeholders

_HEADINGS = {
    "paper": "What the paper says",
    "found": "What we find",
    "why": "Why they differ",
    "survives": "What survives an attacker who knows",
    "trust": "How far to trust it",
}
_COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five"}


def opening(study: Study, scale: str, lookup: Lookup) -> list[tuple[str, str]]:
    """Return `(heading, text)` of each line; of what the study does not say, none.

    Args:
        study: with its summary, or the scale's.
        scale: one of its scales.
        lookup: its results at that scale; a figure that is not there yet is a dash.
    """
    summary = study.scale(scale).summary or study.summary
    texts = {} if summary is None else summary.texts
    lines = {line: _with_figures(text, study, lookup) for line, text in texts.items()}
    lines.setdefault("trust", trust(study, scale, lookup))
    return [(_HEADINGS[name], lines[name]) for name in _HEADINGS if name in lines]


def trust(study: Study, scale: str, lookup: Lookup) -> str:
    """Return in a sentence or two how much was computed, by what code, and how often trained."""
    chosen = study.scale(scale)
    finished, cells = len(lookup), len(lookup.cells)
    text = f"Scale {scale}: {_times(lookup)} of each network, {chosen.images:,} test images"
    text += f"; {finished} of {cells} cells." if finished < cells else f"; all {cells} cells."
    codes = codes_of(lookup)
    if codes.stale:
        text += f" {_cells(len(codes.stale), finished)} from other code than the present."
    if codes.unknown:
        text += f" {_cells(len(codes.unknown), finished)} from code that is not known."
    if reduced := reductions(study, scale, lookup):
        text += f" Smaller than in the paper: {'; '.join(reduced)}."
    return text


def reductions(study: Study, scale: str, lookup: Lookup) -> list[str]:
    """Return what a scale reduces. That it is nothing is told only once all cells are finished."""
    lines = study.scale(scale).reduced
    done = len(lookup) == len(lookup.cells)
    return [line for line in lines if done or not line.lower().startswith("nothing")]


def _times(lookup: Lookup) -> str:
    """Return how often networks are trained; they may differ in that (`seeds_of`)."""
    trained = {(cell.network_name, cell.seed) for cell in lookup.cells}
    times = Counter(network for network, _ in trained).values()
    least, most = (_COUNTS.get(count, str(count)) for count in (min(times), max(times)))
    if max(times) == 1:
        return "one training"
    return f"{most} trainings" if least == most else f"{least} to {most} trainings"


def _cells(count: int, finished: int) -> str:
    which = "All" if count == finished else f"{count}"
    return f"{which} {'is' if count == 1 else 'are'}"


def _with_figures(text: str, study: Study, lookup: Lookup) -> str:
    figures = (_figure(placeholder, study, lookup) for placeholder in placeholders(text))
    return filled(text, figures)


def _figure(asked: Placeholder, study: Study, lookup: Lookup) -> str:
    """Return a figure, or the least to the greatest of several networks; a dash where it lacks."""
    values = sorted(_values(asked, study, lookup))
    if not values:
        return "–"
    unit: Unit = "percent" if FigureName.parse(asked.measured.figure).percent else "number"
    points = asked.measured.less is not None
    ends = list(
        dict.fromkeys(told(value, unit, points=points) for value in (values[0], values[-1]))
    )
    if len(ends) == 1:
        return ends[0]
    return f"{ends[0].removesuffix(' %').removesuffix(' points')} to {ends[1]}"


def _values(asked: Placeholder, study: Study, lookup: Lookup) -> Iterator[float]:
    for network in study.networks if asked.networks == (ALL,) else asked.networks:
        value = lookup.value(network, asked.measured)
        if value is not None:
            yield value
