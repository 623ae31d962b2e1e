"""What the pages of studies share: their templates, and how a page is written."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import jinja2

from tfrobust.report.templates import PAGE_SCRIPT, script
from tfrobust.study.results.judging import Verdict

_STUDY = Path(__file__).parents[1]
IN_PAPER = {
    True: "the paper's own figures bear it out, by the same checks",
    False: "the paper's own figures do not bear it out, by the same checks",
    None: "",
}


SIGNS = {
    Verdict.HOLDS: "✔",
    Verdict.FAILS: "✖",
    Verdict.UNJUDGED: "▲",
    Verdict.UNKNOWN: "○",
    Verdict.NOT_ASKED: "○",
}
_COUNTED = {
    Verdict.HOLDS: ("holds", "hold"),
    Verdict.FAILS: ("does not hold", "do not hold"),
    Verdict.UNJUDGED: ("cannot be judged", "cannot be judged"),
    Verdict.UNKNOWN: ("is not yet known", "are not yet known"),
    Verdict.NOT_ASKED: ("is not asked at this scale", "are not asked at this scale"),
}


@dataclasses.dataclass(frozen=True)
class Tallied:
    """How many claims have a verdict: `count words`, such as `3 hold`."""

    verdict: Verdict
    count: int
    words: str


def tally(verdicts: Iterable[Verdict]) -> list[Tallied]:
    """Return how many claims have each verdict, without those that none has.

    Example:
        >>> [f"{one.count} {one.words}" for one in tally([Verdict.HOLDS, Verdict.HOLDS])]
        ['2 hold']
    """
    counted = Counter(verdicts)
    return [
        Tallied(verdict, count, one if count == 1 else several)
        for verdict, (one, several) in _COUNTED.items()
        if (count := counted[verdict])
    ]


def written(text: str, path: Path) -> None:
    """Write a text to a file."""
    path.write_text(text, encoding="utf-8")


def page_templates(*, escaped: bool) -> jinja2.Environment:
    """Return the templates of studies' pages: as HTML (`escaped`) or as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_STUDY, _STUDY.parent / "report"]),
        autoescape=escaped,  # noqa: S701 (Markdown is not HTML)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["script"] = script(PAGE_SCRIPT)
    return environment
