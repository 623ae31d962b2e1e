"""Two runs beside each other, image by image: gains, losses, and whether they are chance."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from tfrobust.errors import UsageError
from tfrobust.report.tables import Table, attack_title, percent, scenario_title
from tfrobust.report.templates import html_templates
from tfrobust.results.kinds import counted, kind_of
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.proportions import Proportion
from tfrobust.results.records import Evaluation, Results
from tfrobust.results.run_files import read_run
from tfrobust.types import Flags

_Z95 = 1.959963984540054  # the normal quantile that leaves 2.5 % on either side
_CHANCE = 0.05


@dataclasses.dataclass(frozen=True)
class Difference:
    """What changed under one attack, over the same images.

    Attributes:
        classifiers: the names of both.
        what: the attack with its budget, `clean`, or `worst case`.
        first: accuracy in the first run.
        second: accuracy in the second.
        gained: images that are right in the second run alone.
        lost: images that are right in the first run alone.
        interval: of the change, 95 %.
        p: how likely at least such a difference is by chance, two-sided.
    """

    classifiers: tuple[str, str]
    what: str
    first: Proportion
    second: Proportion
    gained: int
    lost: int
    interval: tuple[float, float]
    p: float

    @property
    def change(self) -> float:
        """The second accuracy minus the first."""
        return self.second.accuracy - self.first.accuracy


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two runs, compared.

    Attributes:
        runs: their folders.
        images: on which.
        differences: clean images, the attacks that both runs have, and the worst case over them.
        unmatched: attacks that only one of them has, or with other options.
        missing: classifier and attack of the first run that the second does not have.
    """

    runs: tuple[str, str]
    images: str
    differences: list[Difference]
    unmatched: list[str]
    missing: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    @property
    def table(self) -> Table:
        """A row a classifier and attack."""
        rows: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        for one in self.differences:
            rows.setdefault(one.classifiers, []).append(_row(one))
        left_out = f"; not in both: {', '.join(self.unmatched)}" if self.unmatched else ""
        return Table(
            title=f"{self.runs[1]} beside {self.runs[0]} on {self.images}",
            columns=(
                "classifier", "attack", *self.runs, "change", "gained", "lost", "chance p"
            ),
            sections=list(rows.values()),
            caption="the same images; gained and lost are images that only one run has right; "
            "p: McNemar's exact test; changes with 95 % intervals (Agresti & Min 2005)" + left_out,
        )  # fmt: skip


def _row(one: Difference) -> tuple[str, ...]:
    low, high = one.interval
    names = dict.fromkeys(one.classifiers)
    return (
        " → ".join(names),
        one.what,
        percent(one.first),
        percent(one.second),
        f"{100 * one.change:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
        str(one.gained),
        str(one.lost),
        "–" if one.gained + one.lost == 0 else f"{one.p:.2g}",
    )


def compare(first: Path | str, second: Path | str) -> Comparison:
    """Compare two runs on the same images, image by image.

    Classifiers of the same name are compared; of runs with one classifier each, these two.

    Args:
        first: run folder.
        second: run folder.

    Raises:
        UsageError: their images differ, or no classifier has a counterpart.
        StoreError: a file is missing, damaged or of an older version.

    Example:
        >>> compare("runs/plain", "runs/robust").differences[0].change
        -0.014
    """
    runs = [read_run(Path(folder)) for folder in (first, second)]
    (results, outcomes), (others, other_outcomes) = runs
    _check_alike((str(first), str(second)), runs)
    differences, unmatched = list[Difference](), list[str]()
    pairs_of, missing = list(_pairs(results, others)), list[tuple[str, str]]()
    for number, evaluation in enumerate(results.evaluations):
        if number not in dict(pairs_of):
            missing.append((evaluation.classifier.name, "the classifier"))
    for number, other in pairs_of:
        one, two = results.evaluations[number], others.evaluations[other]
        flags, other_flags = _right(outcomes, number, one), _right(other_outcomes, other, two)
        shared = [what for what in flags if what in other_flags]
        unmatched += [what for what in {**flags, **other_flags} if what not in shared]
        missing += [
            (two.classifier.name, _title(what)) for what in flags if what not in other_flags
        ]
        pairs = {what: (flags[what], other_flags[what]) for what in shared}
        if len(shared) > 2:  # clean images and one attack are their own worst case
            worst = (
                np.logical_and.reduce([flags[what] for what in shared]),
                np.logical_and.reduce([other_flags[what] for what in shared]),
            )
            pairs["worst case of these"] = worst
        names = one.classifier.name, two.classifier.name
        differences += [difference(names, _title(what), *pair) for what, pair in pairs.items()]
    titles = list(dict.fromkeys(map(_title, unmatched)))
    images = f"{len(outcomes):,} images of {scenario_title(results.evaluations[0])}"
    return Comparison((str(first), str(second)), images, differences, titles, missing)


def difference(names: tuple[str, str], what: str, first: Flags, second: Flags) -> Difference:
    """Return the difference of two classifiers on the same images.

    The interval is that of Agresti & Min, "Simple improved confidence intervals for comparing
    matched proportions" (2005); p is McNemar's exact test (1947).

    Args:
        names: of the classifiers.
        what: of the row.
        first: bool `(n,)`: which images the first has right.
        second: the same of the second.

    Example:
        >>> one = difference(("a", "b"), "clean", np.arange(10) < 4, np.arange(10) < 9)
        >>> one.gained, one.lost, round(one.p, 3)
        (5, 0, 0.062)
    """
    gained, lost = int((second & ~first).sum()), int((first & ~second).sum())
    p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    count, plus, minus = len(first) + 2, gained + 0.5, lost + 0.5
    change = (plus - minus) / count
    spread = _Z95 * math.sqrt((plus + minus) - (plus - minus) ** 2 / count) / count
    return Difference(
        classifiers=names,
        what=what,
        first=Proportion.of(first),
        second=Proportion.of(second),
        gained=gained,
        lost=lost,
        interval=(max(change - spread, -1.0), min(change + spread, 1.0)),
        p=float(p),
    )


def render_comparison(comparison: Comparison) -> str:
    """Return a page of its own; everything that came from outside is escaped."""
    certain = [d for d in comparison.differences if d.p < _CHANCE]
    template = html_templates().get_template("comparison.html.j2")
    return template.render(comparison=comparison, table=comparison.table, certain=certain)


def _check_alike(names: tuple[str, str], runs: list[tuple[Results, Outcomes]]) -> None:
    titles = [scenario_title(results.evaluations[0]) for results, _ in runs]
    labels = [outcomes.column("label") for _, outcomes in runs]
    for name, (results, _) in zip(names, runs, strict=True):
        if results.corruptions or results.incomplete:
            kind = "is a run of corruptions" if results.corruptions else "is incomplete"
            raise UsageError(f"{name}: {kind}, which is not compared image by image")
    if titles[0] != titles[1] or len(labels[0]) != len(labels[1]) or (labels[0] != labels[1]).any():
        shown = [f"{len(one):,} of {title}" for one, title in zip(labels, titles, strict=True)]
        raise UsageError(
            f"{names[0]} and {names[1]}: expected the same images; received: {shown[0]} and "
            f"{shown[1]}; evaluate both on the same scenario, with the same --limit"
        )


def _pairs(first: Results, second: Results) -> Iterator[tuple[int, int]]:
    names = [evaluation.classifier.name for evaluation in first.evaluations]
    others = [evaluation.classifier.name for evaluation in second.evaluations]
    shared = [name for name in names if name in others]
    if shared:
        yield from ((names.index(name), others.index(name)) for name in shared)
    elif len(names) == len(others) == 1:
        yield 0, 0
    else:
        raise UsageError(
            f"compare: no classifier is in both runs ({', '.join(names)}; {', '.join(others)}); "
            "evaluate them in one run, or one in each"
        )


def _right(outcomes: Outcomes, number: int, evaluation: Evaluation) -> dict[str, Flags]:
    """Return which images are right, for clean ones and after each attack with its options."""
    clean = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    flags = {"clean": clean}
    for attack, right in counted(outcomes, number, evaluation):
        options = sorted((name, str(value)) for name, value in attack.params.items())
        kind = kind_of(attack, evaluation.classifier.name)
        title = attack_title(attack) + (", adaptive" if kind == "adaptive" else "")
        flags[f"{title}{_OPTIONS}{kind} {options}"] = right
    return flags


_OPTIONS = "\n"  # between the title of an attack and all its options


def _title(what: str) -> str:
    return what.partition(_OPTIONS)[0].replace("  ", " ")
