"""The leaderboard as one self-contained page, which works without script and without a network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfrobust.leaderboard.model_info import budget
from tfrobust.leaderboard.reading import Run
from tfrobust.leaderboard.records import Board, Entry, Leaderboard
from tfrobust.norms.titles import NORM_TITLES
from tfrobust.report.charts.panels import Panel, geometry, panels
from tfrobust.report.headline import LIGHTS, UNLIT, Headline
from tfrobust.report.page import image_grids
from tfrobust.report.templates import PAGE_SCRIPT, html_templates, script
from tfrobust.results.findings import Verdict
from tfrobust.results.kinds import KINDS
from tfrobust.results.proportions import Proportion

_FALLEN = 0.05  # of the images: what keeps less has fallen
_MOST_NAMED = 3  # boards in the headline after the first
_GRIDS = 2  # of images, of each classifier
_SCRIPT = Path(__file__).with_name("leaderboard.js")


@dataclasses.dataclass(frozen=True)
class RunShown:
    """What the page shows of one run below its boards.

    Attributes:
        name: of its folder.
        grids: for each of its classifiers, the images under each attack.
    """

    name: str
    grids: Mapping[str, list[dict[str, Any]]]


def render_leaderboard(boards: Leaderboard, runs: Sequence[Run]) -> str:
    """Return the page; everything that came from outside is escaped.

    Args:
        boards: of the runs.
        runs: for their curves and images.
    """
    classifiers = sum(len(run.results.evaluations) for run in runs)
    return (
        html_templates(__package__)
        .get_template("leaderboard.html.j2")
        .render(
            boards=[(board, ball_of(board), kinds_of(board)) for board in boards.boards],
            headline=lit_headline(boards),
            panels=_panels(runs),
            runs=[_shown(run, classifiers) for run in runs],
            area=geometry(),
            script=script(PAGE_SCRIPT, _SCRIPT),
            percent=percent,
            interval=interval,
            cost=cost,
            anchor=anchor,
        )
    )


def headline(boards: Leaderboard) -> str:
    """Return what the boards come to: the first in a sentence, of the next ones their best.

    Example:
        >>> headline(leaderboard(["runs/d1", "runs/d2"]))
        'd2 keeps 45.0 % (39.9 to 50.2) at L∞ ≤ 0.2 of 360 images of digits; 0 of 2 keep less…'
    """
    first, *others = boards.boards
    says = "; ".join([_of_first(first), *map(_of_other, others[:_MOST_NAMED])])
    unnamed = len(others) - _MOST_NAMED
    return f"{says}; {unnamed} more board{'s' * (unnamed > 1)} below" if unnamed > 0 else says


def _of_first(board: Board) -> str:
    best = board.entries[0]
    if best.is_masked:
        return (
            f"No figure at {ball_of(board)} of {board.images:,} images of {board.scenario} can be "
            "believed: a diagnosis finds every classifier masked"
        )
    fallen = sum(entry.robust.accuracy < _FALLEN for entry in board.entries)
    keep = "keeps" if fallen == 1 else "keep"
    return (
        f"{best.classifier} keeps {percent(best.robust)} ({interval(best.robust)}) at "
        f"{ball_of(board)} of {board.images:,} images of {board.scenario}; {fallen} of "
        f"{len(board.entries)} {keep} less than {100 * _FALLEN:.0f}\N{NO-BREAK SPACE}%"
    )


def _of_other(board: Board) -> str:
    best = board.entries[0]
    found = f"{best.classifier} {percent(best.robust)}"
    says = "every classifier masked" if best.is_masked else found
    return f"at {ball_of(board)} of {board.scenario}: {says}"


def lit_headline(boards: Leaderboard) -> Headline:
    """Return the headline with its traffic light: the gravest verdict of all boards.

    Nothing is suspicious only where everything was diagnosed.
    """
    entries = [entry for board in boards.boards for entry in board.entries]
    verdicts = [entry.diagnosed.verdict for entry in entries if entry.diagnosed]
    says = headline(boards)
    if not verdicts:
        return Headline(says, "No classifier was diagnosed.", *UNLIT)
    what = "classifiers" if len(boards.boards) == 1 else "places on the boards"
    trust = f"Of {len(entries)} {what} {len(verdicts)} were diagnosed"
    for verdict, word in ((Verdict.MASKED, "masked"), (Verdict.SUSPECT, "suspicious")):
        if count := verdicts.count(verdict):
            return Headline(says, f"{trust}.", *LIGHTS[verdict][:2], f"{count} {word}")
    if verdicts.count(Verdict.FINE) == len(entries):
        return Headline(says, f"{trust}.", *LIGHTS[Verdict.FINE])
    fine = f"nothing suspicious was found of {verdicts.count(Verdict.FINE)}"
    return Headline(says, f"{trust}; {fine}.", *UNLIT)


def _panels(runs: Sequence[Run]) -> list[tuple[str, list[Panel]]]:
    """Return the panels of all runs together, each axis once; a panel names its run."""
    together: dict[str, list[Panel]] = {}
    for run in runs:
        for name, several in panels(run.results, run.outcomes):
            together.setdefault(name, []).extend(
                dataclasses.replace(panel, title=f"{panel.title} ({run.folder.name})")
                for panel in several
            )
    return list(together.items())


def ball_of(board: Board) -> str:
    """Return the ball of a board, such as `L∞ ≤ 8/255`."""
    return f"{NORM_TITLES[board.norm]} ≤ {budget(board.eps)}"


def kinds_of(board: Board) -> list[str]:
    """Return the kinds of attacks that any classifier of a board was under."""
    return [kind for kind in KINDS if any(kind in entry.worst for entry in board.entries)]


def percent(share: Proportion) -> str:
    """Return an accuracy such as `45.0 %`, which no line break divides."""
    return f"{100 * share.accuracy:.1f}\N{NO-BREAK SPACE}%"


def interval(share: Proportion) -> str:
    """Return the bounds of an accuracy in percent, such as `39.9 to 50.2`."""
    low, high = share.interval
    return f"{100 * low:.1f} to {100 * high:.1f}"


def cost(entry: Entry) -> str:
    """Return what an answer costs: passes and megabytes."""
    passes = f"{entry.passes} pass{'es' if entry.passes > 1 else ''}"
    return passes if entry.megabytes is None else f"{passes}, {entry.megabytes:.2g} MB"


def anchor(entry: Entry) -> str:
    """Return what the details of an entry are linked by."""
    digest = hashlib.sha256(f"{entry.run}\n{entry.number}".encode()).hexdigest()[:12]
    return f"c{digest}"


def _shown(run: Run, classifiers: int) -> RunShown:
    evaluations, grids = run.results.evaluations, _GRIDS * classifiers
    shown = {
        evaluation.classifier.name: image_grids(number, evaluation, run.outcomes, of=grids)
        for number, evaluation in enumerate(evaluations)
    }
    return RunShown(str(run.folder), {name: several[:_GRIDS] for name, several in shown.items()})
