"""Accuracy and distance against queries: curves and a table of a run's black-box attacks."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.charts.colours import COLOURS
from tfrobust.report.charts.figures import DASHES, as_svg
from tfrobust.report.tables import Table, attack_title
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.query_curve import QueryCurve
from tfrobust.results.records import Results

_SHOWN = (10, 100, 1_000, 10_000)  # queries of the table's columns
_ACCURACY = "accuracy"

Line = tuple[str, AttackResult, QueryCurve]  # classifier, its attack, what that has reached


def query_lines(results: Results) -> Iterator[Line]:
    """Yield the attacks of which it is known what they reached by each number of queries."""
    for evaluation in results.evaluations:
        for attack in (*evaluation.attacks, *evaluation.adaptive):
            if attack.by_queries is not None:
                yield evaluation.classifier.name, attack, attack.by_queries


def query_table(results: Results) -> Table | None:
    """Return a row a classifier, attack and measure; `None` without black-box attacks."""
    lines = list(query_lines(results))
    if not lines:
        return None
    most = max(curve.queries[-1] for _, _, curve in lines)
    shown = [queries for queries in _SHOWN if queries <= most]
    sections: dict[str, list[tuple[str, ...]]] = {}
    for classifier, attack, curve in lines:
        rows = sections.setdefault(classifier, [])
        for measure, values, area in _measures(attack, curve):
            cells = [_number(_by(curve.queries, values, queries)) for queries in shown]
            half = f"{curve.median:,}" if measure == _ACCURACY and curve.median else "–"
            title = attack_title(attack)
            rows.append((classifier, title, measure, *cells, half, _number(area)))
    return Table(
        title="What black-box attacks reach by how many queries",
        columns=(
            *("classifier", "attack", "measure"),
            *(f"{queries:,}" for queries in shown),
            *("half fell by", "area"),
        ),
        sections=list(sections.values()),
        caption="accuracy left, or median distance, after so many queries an image; half fell by: "
        "the queries by which half of the images that were right had fallen; area: the mean over "
        "the logarithm of the queries, where less is a stronger attack",
    )


def query_figures(results: Results) -> list[dict[str, str]]:
    """Return `{"title", "svg"}`: a panel a measure, a line a classifier and attack."""
    panels: dict[str, list[tuple[str, str, QueryCurve, list[float | None]]]] = {}
    for classifier, attack, curve in query_lines(results):
        for measure, values, _ in _measures(attack, curve):
            line = classifier, attack_title(attack), curve, values
            panels.setdefault(measure, []).append(line)
    names = list(dict.fromkeys(classifier for classifier, _, _ in query_lines(results)))
    drawings = []
    for measure, lines in panels.items():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.add_subplot()
        drawn = dict.fromkeys(names, 0)
        for classifier, title, curve, values in lines:
            colour = COLOURS[names.index(classifier) % len(COLOURS)]
            dash = DASHES[drawn[classifier] % len(DASHES)]
            drawn[classifier] += 1
            known = [(q, v) for q, v in zip(curve.queries, values, strict=True) if v is not None]
            label = f"{classifier} · {title}".replace("$", r"\$")
            axes.plot(
                *(zip(*known, strict=True) if known else ((), ())), dash, color=colour, label=label
            )
        axes.set_xscale("log")
        axes.set_xlabel("queries an image")
        axes.set_ylabel(measure)
        axes.set_ylim(0, 1.02 if measure == _ACCURACY else None)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7)
        title = f"{measure[0].upper()}{measure[1:]} against queries"
        drawings.append({"title": title, "svg": as_svg(figure, measure)})
    return drawings


def _measures(
    attack: AttackResult, curve: QueryCurve
) -> Iterator[tuple[str, list[float | None], float | None]]:
    """Yield the name, the values and the area of what is known of an attack."""
    if curve.accuracy is not None:
        yield _ACCURACY, list(curve.accuracy), curve.accuracy_area
    if curve.distance is not None and attack.threat.norm:
        measure = f"median {NORM_TITLES[attack.threat.norm]} distance"
        yield measure, curve.distance, curve.distance_area


def _by(queries: list[int], values: list[float | None], number: int) -> float | None:
    """Return the value by a number of queries: that of the last number up to it."""
    before = [value for q, value in zip(queries, values, strict=True) if q <= number]
    return before[-1] if before else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
