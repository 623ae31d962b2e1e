"""Whether a check holds, does not hold, or cannot be judged, and why.

A check cannot be judged where a network is too weak, where all accuracies lie at a floor or a
ceiling, where single trainings are compared and nothing says how much trainings differ, and where
an interval reaches to both sides. docs/studies.md describes the statistics.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence

from tfrobust.study.results.estimates import Estimate
from tfrobust.study.results.lookup import Lookup
from tfrobust.study.results.margins import Interval, Margin, alternatives_of, interval_of
from tfrobust.study.results.measures import estimated, independent, single_figures, trainings_of
from tfrobust.study.results.wording import in_points, interval_in_words, told
from tfrobust.study.schema.figure_names import UNDER_ATTACK, FigureName
from tfrobust.study.schema.outputs import Check, Need, Unit
from tfrobust.study.schema.study import Study

_ONE_SEED = "a single seed: one training of each, and nothing says how much trainings differ"


class Verdict(enum.Enum):
    """What came of a claim or a check; the value is how reports say it."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNJUDGED = "cannot be judged"
    UNKNOWN = "not yet known"
    NOT_ASKED = "not asked at this scale"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict on a check.

    Attributes:
        verdict: on our figures.
        reason: in words, where it cannot be judged; else empty.
        decisive: the comparison that decided, or left it open; `None` where nothing is known.
        interval: of that comparison.
    """

    verdict: Verdict
    reason: str = ""
    decisive: Margin | None = None
    interval: Interval | None = None


def judged(study: Study, check: Check, lookup: Lookup, needs: Sequence[Need] = ()) -> Judgement:
    """Return the verdict on a check of our figures.

    Args:
        study: that has the check.
        check: what is compared.
        lookup: the results of one scale.
        needs: of the claim, in addition to the check's own.
    """
    needed = (*needs, *check.needs)
    if not _asked(check, needed, lookup):
        return Judgement(Verdict.NOT_ASKED)
    seeds = _known(check, lookup)
    if not seeds or any(_reached(lookup, check, need) is None for need in needed):
        return Judgement(Verdict.UNKNOWN)
    intervals = _intervals(study, check, lookup, seeds)
    chance = _left_to_chance(study, check, lookup, len(seeds))
    judgement = by_intervals(
        check,
        {
            margin: Interval(interval.value, -math.inf, math.inf) if margin in chance else interval
            for margin, interval in intervals.items()
        },
    )
    reason = _weakness(study, check, needed, lookup) or _extreme(study, check, lookup)
    margin = judgement.decisive
    if margin is not None:
        judgement = dataclasses.replace(judgement, interval=intervals[margin])
        if not reason and judgement.verdict is Verdict.UNJUDGED:
            both_sides = _both_sides(study, check, margin, intervals[margin])
            reason = _ONE_SEED if margin in chance else both_sides
    if reason:
        return dataclasses.replace(judgement, verdict=Verdict.UNJUDGED, reason=reason)
    return judgement


def by_intervals(check: Check, intervals: Mapping[Margin, Interval]) -> Judgement:
    """Return the verdict of the intervals alone, and the comparison that decides it."""
    outcomes = []
    for margins in alternatives_of(check):
        wrong = [margin for margin in margins if margin.wrong(intervals[margin])]
        open_ = [margin for margin in margins if not margin.right(intervals[margin])]
        verdict = Verdict.FAILS if wrong else Verdict.UNJUDGED if open_ else Verdict.HOLDS
        decisive = min(wrong or open_ or margins, key=lambda m: m.by(intervals[m]), default=None)
        interval = None if decisive is None else intervals[decisive]
        outcomes.append(Judgement(verdict, "", decisive, interval))
    order = (Verdict.HOLDS, Verdict.UNJUDGED, Verdict.FAILS)
    # Of several ways to hold, the one that comes nearest to holding says most.
    return min(
        outcomes,
        key=lambda one: (order.index(one.verdict), -_nearness(one)),
        default=Judgement(Verdict.FAILS),
    )


def _nearness(judgement: Judgement) -> float:
    if judgement.decisive is None or judgement.interval is None:
        return 0.0
    return judgement.decisive.by(judgement.interval)


def on_points(check: Check, values: Mapping[str, float]) -> bool:
    """Tell whether a check holds on figures without intervals, such as the paper's own."""

    def interval(margin: Margin) -> Interval:
        value = sum(weight * values[name] for name, weight in margin.weights)
        return Interval(value, value, value)

    margins = {margin: interval(margin) for some in alternatives_of(check) for margin in some}
    return by_intervals(check, margins).verdict is Verdict.HOLDS


Figures = Mapping[str, Estimate]  # network → its figure, of one seed


def _known(check: Check, lookup: Lookup) -> dict[int, Figures]:
    """Return the figures of every seed that all networks of a check have."""
    known: dict[int, Figures] = {}
    for seed in lookup.seeds:
        figures = {
            name: estimate
            for name in check.networks
            if (estimate := estimated(lookup, name, check.value, seed)) is not None
        }
        if len(figures) == len(check.networks):
            known[seed] = figures
    return known


def _intervals(
    study: Study, check: Check, lookup: Lookup, seeds: Mapping[int, Figures]
) -> dict[Margin, Interval]:
    spread = _spread(study, check, lookup)
    by_seed = {seed: figures.__getitem__ for seed, figures in seeds.items()}

    def interval(margin: Margin) -> Interval:
        alone = not _between_trainings(check, margin, lookup)
        return interval_of(dict(margin.weights), by_seed, None if alone else spread)

    return {margin: interval(margin) for some in alternatives_of(check) for margin in some}


def _spread(study: Study, check: Check, lookup: Lookup) -> float | None:
    """Return how much a check's figure differs from training to training, if that is known.

    A difference of several shares differs more than one share: at most so much more, as if they
    had nothing to do with one another.
    """
    if check.seed_spread is not None:
        return check.seed_spread
    shares = all(FigureName.parse(part.figure).percent for part in check.value.parts)
    if not shares or check.value.over is not None or not lookup.cells:
        return None
    one = study.scale(lookup.cells[0].scale_name).seed_spread
    return None if one is None else one * math.sqrt(len(list(single_figures(study, check.value))))


def _between_trainings(check: Check, margin: Margin, lookup: Lookup) -> bool:
    """Tell whether a comparison is one of networks that were trained apart from each other."""
    shown = [cell for name, _ in margin.weights for cell in trainings_of(lookup, name, check.value)]
    return any(independent(one, other) for one in shown for other in shown)


def _asked(check: Check, needs: Sequence[Need], lookup: Lookup) -> bool:
    wanted = [(name, part.condition) for name in check.networks for part in check.value.parts]
    wanted += [(n, need.condition) for need in needs for n in need.networks or check.networks]
    return all(lookup.expects(network, condition) for network, condition in wanted)


def _reached(lookup: Lookup, check: Check, need: Need) -> dict[str, float] | None:
    """Return what each network has of a figure that it needs; `None` if that is not yet known."""
    values = {n: lookup.value(n, need.measured) for n in need.networks or check.networks}
    known = {name: value for name, value in values.items() if value is not None}
    return known if len(known) == len(values) else None


def _weakness(study: Study, check: Check, needs: Sequence[Need], lookup: Lookup) -> str:
    for need in needs:
        name = FigureName.parse(need.figure)
        for network, value in (_reached(lookup, check, need) or {}).items():
            if value < need.least:
                unit: Unit = "percent" if name.percent else "number"
                has, least = told(value, unit), told(need.least, unit)
                what = "clean accuracy" if name.name == "clean" else name.name.replace("_", " ")
                title = study.networks[network].title
                if study.views[name.view].member:
                    title += f"'s {study.views[name.view].title}"
                return f"a network too weak: {title} has {has} {what}, and {least} are needed"
    return ""


def _extreme(study: Study, check: Check, lookup: Lookup) -> str:
    """Say that all figures lie at a floor or a ceiling, where they do and are compared."""
    if not check.compares:
        return ""
    figures = [
        (FigureName.parse(part.figure), value)
        for network in check.networks
        for part in single_figures(study, check.value)
        if (value := lookup.value(network, part)) is not None
    ]
    names = {name.name for name, _ in figures if not name.detector}
    compared = not any(name.detector for name, _ in figures) and bool(figures)
    floor = study.floor if check.floor is None else check.floor
    ceiling = study.ceiling if check.ceiling is None else check.ceiling
    if compared and names <= {"clean", *UNDER_ATTACK} and all(v <= floor for _, v in figures):
        return f"floor: all figures are at most {told(floor)}"
    if compared and names <= UNDER_ATTACK and all(v >= ceiling for _, v in figures):
        return f"ceiling: all figures are at least {told(ceiling)}"
    return ""


def _left_to_chance(study: Study, check: Check, lookup: Lookup, seeds: int) -> set[Margin]:
    """Return the comparisons of single trainings, if nothing says how much trainings differ."""
    if seeds > 1 or _spread(study, check, lookup) is not None:
        return set()
    margins = {margin for some in alternatives_of(check) for margin in some}
    return {margin for margin in margins if _between_trainings(check, margin, lookup)}


def _both_sides(study: Study, check: Check, margin: Margin, interval: Interval) -> str:
    points = in_points(check) or len(margin.weights) > 1
    threshold = told(margin.threshold, check.unit, points=points)
    alone = len(check.networks) > 1 and len(margin.weights) == 1
    whose = f"{study.networks[margin.networks[0]].title}, " if alone else ""
    reach = interval_in_words(interval, check.unit)
    return f"within the interval: {whose}{reach} reaches to both sides of {threshold}"
