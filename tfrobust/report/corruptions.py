"""Corruptions in the report: a table, curves and a map over severities, an example of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfrobust.report.charts.lines import DrawnLine
from tfrobust.report.charts.panels import Panel, drawn_panel, spoken, with_band
from tfrobust.report.charts.scales import Scale
from tfrobust.report.charts.tiles import allowance, tile
from tfrobust.report.headline import Headline
from tfrobust.report.tables import HeatRow, Row, Table, scenario_title
from tfrobust.results.corruption_errors import CorruptionErrors
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Results

_MOST_NAMED = 3  # more classifiers in the headline


def corruption_table(results: Results) -> Table:
    """Return the mean error under every corruption: a row a corruption, a column a classifier.

    A single classifier's errors at each severity stand before it.
    """
    records = results.corruptions
    severities = _severities(records[0]) if len(records) == 1 else []
    blank = ("",) * len(severities)

    def row(title: str, cells: Iterable[str], before: Iterable[str] = blank) -> Row:
        return (title, *before, *cells)

    rows = [
        row(
            _words(name),
            (_percent(record.mean[name]) for record in records),
            map(_percent, records[0].errors[name]) if severities else (),
        )
        for name in records[0].errors
    ]
    across = map(_percent, np.mean(list(records[0].errors.values()), axis=0)) if severities else ()
    last = [row("mCE", (_percent(record.mce) for record in records), across)]
    if baseline := records[0].baseline:
        last += [
            row(f"mCE by {baseline}", (_share(record.mce_ratio) for record in records)),
            row(f"relative mCE by {baseline}", (_share(e.relative_mce_ratio) for e in records)),
        ]
    first = results.unshifted[0]
    names = ["mean"] if severities else [record.classifier for record in records]
    return Table(
        title=f"Error under corruptions, {first.scenario.images:,} images of "
        f"{scenario_title(first)}",
        columns=("corruption", *severities, *names),
        sections=[[row("clean", (_percent(record.clean) for record in records))], rows, last],
        caption=_caption(records[0]),
    )


def _severities(errors: CorruptionErrors) -> list[str]:
    return [str(k + 1) for k in range(len(next(iter(errors.errors.values()))))]


def _caption(errors: CorruptionErrors) -> str:
    means = "means over severities 1 to 5; mCE is the mean over the corruptions"
    if errors.baseline is None:
        return f"{means}, divided by no baseline's errors"
    return (
        f"{means}; by {errors.baseline}: first divided by that classifier's errors; relative: "
        "errors beyond the clean ones; –: some corruption costs it nothing"
    )


def corruption_headline(results: Results) -> Headline:
    """Return how much corruptions cost the best classifier and the others, in a sentence.

    Example:
        >>> corruption_headline(results).says
        'd1 errs on 21.9 % of corrupted images and on 3.9 % of clean ones, most under fog (58.3 %)'
    """
    best, *others = sorted(results.corruptions, key=lambda record: record.mce)
    worst = max(best.mean, key=lambda name: best.mean[name])
    images = results.unshifted[0]
    says = (
        f"{best.classifier} errs on {_percent(best.mce)} of corrupted images and on "
        f"{_percent(best.clean)} of clean ones, most under {_words(worst)} "
        f"({_percent(best.mean[worst])})"
    )
    for other in others[:_MOST_NAMED]:
        says += f", {other.classifier} on {_percent(other.mce)}"
    says += f"; {images.scenario.images:,} images of {scenario_title(images)}"
    return Headline(says, "", "none", "", "")


def heat_tables(results: Results) -> list[tuple[str, list[str], list[HeatRow]]]:
    """Return, for each classifier, its name, the severities and the errors at each of them.

    A row is a corruption in words and its errors as `(share, text)`.
    """
    return [
        (
            record.classifier,
            _severities(record),
            [
                (_words(name), [(error, _percent(error)) for error in errors])
                for name, errors in record.errors.items()
            ],
        )
        for record in results.corruptions
    ]


def severity_panels(results: Results) -> list[tuple[str, list[Panel]]]:
    """Return accuracy against the severity: a panel a classifier, the mean in front."""
    return [("severity", [_severity_panel(record) for record in results.corruptions])]


def _severity_panel(record: CorruptionErrors) -> Panel:
    severities = [float(k) for k in range(len(_severities(record)) + 1)]

    def line(name: str, kind: str, errors: Iterable[float]) -> DrawnLine:
        return DrawnLine(name, kind, severities, [1 - record.clean, *(1 - e for e in errors)], [])

    lines = [line(_words(name), "attack", errors) for name, errors in record.errors.items()]
    across = np.mean(list(record.errors.values()), axis=0).tolist()
    lines.append(line("mean of all corruptions", "worst", across))
    return drawn_panel(
        title=record.classifier,
        label="severity",
        says=spoken("Accuracy against the severity", lines),
        lines=lines,
        scale=Scale(0.0, severities[-1]),
        said=lambda line, k: f"{line.name}, severity {line.values[k]:g}: {with_band(line, k)}",
    )


def corruption_tiles(results: Results, outcomes: Outcomes) -> list[dict[str, Any]]:
    """Return `{"title", "image"}` of the first image, clean and under each corruption."""
    names, examples = ["clean", *results.corruptions[0].errors], outcomes.examples
    images = [*examples["example_images"][:1], *examples["example_corrupted"]]
    return [
        {"title": _words(name), "image": tile(image, allowance(len(images)))}
        for name, image in zip(names, images, strict=True)
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _share(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.1%}"
