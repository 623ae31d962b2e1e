"""The lines of a chart, before they are drawn: attacks, what is proven, and all together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfrobust.report.charts.axes import Axis, lines_on
from tfrobust.report.charts.figures import points
from tfrobust.results.kinds import right_after
from tfrobust.results.metrics import wilson
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation
from tfrobust.types import Flags, Norm, PerImage

TOGETHER, CERTIFIED = "all together", "certified"
_GRID = 60  # values of a distance that a whole curve is drawn at


@dataclasses.dataclass(frozen=True)
class DrawnLine:
    """A line before it is drawn.

    Attributes:
        name: in the legend.
        kind: `attack`, `worst`, `certified`, or `c0` to `c5`: a colour for each.
        values: of what it is drawn against, rising.
        shares: at them, in [0, 1].
        bands: their 95 % intervals or another spread; none: no band.
        marked: which of the values have a mark; `None`: all of a line that has few.
        stepped: whether a share counts from the value before it on, as certificates do.
    """

    name: str
    kind: str
    values: list[float]
    shares: list[float]
    bands: list[tuple[float, float]]
    marked: list[int] | None = None
    stepped: bool = False


def drawn_lines(
    axis: Axis, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> Iterator[DrawnLine]:
    """Yield the attacks, what is proven, and all together.

    Args:
        axis: what accuracy is drawn against.
        number: of the evaluation in its run, from 0.
        evaluation: itself.
        outcomes: of the run.
    """
    for name, line in lines_on(axis, evaluation).items():
        yield DrawnLine(name, "attack", *points(axis, number, evaluation, line, outcomes))
    if axis.option != "eps":
        return
    for certificate in evaluation.certificates:
        if certificate.norm == axis.norm and certificate.within:
            yield DrawnLine(
                f"{CERTIFIED} by {certificate.name}",
                "certified",
                [within.eps for within in certificate.within],
                [within.accuracy for within in certificate.within],
                [within.interval for within in certificate.within],
            )
    if axis.norm and (together := _together(axis.norm, number, evaluation, outcomes)):
        yield together


def _together(
    norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> DrawnLine | None:
    """Return what all attacks of a norm leave together: never more than any of them leaves.

    At the budgets that were evaluated it is counted image by image; attacks that minimise a
    distance count there by what they found within it. Between them attacks with a budget are drawn
    straight, the others as they are, and the lower of the two counts, less the images that only
    one of them breaks.
    """
    clean = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    fixed = _within_budgets(norm, number, evaluation, outcomes)
    least = _least_distance(norm, number, evaluation, outcomes)
    budgets = [0.0, *sorted({eps for eps, _ in fixed})]
    broken = np.sort(least[clean & np.isfinite(least)])
    beyond = 1.05 * float(broken[-1]) if len(broken) else 0.0
    grid = np.linspace(0.0, beyond, _GRID) if beyond else np.zeros(0)
    values = np.asarray(sorted({*budgets, *grid}))
    if len(values) < 2:
        return None
    left = [np.logical_and.reduce([clean, *(f for e, f in fixed if e <= eps)]) for eps in budgets]
    straight = np.interp(values, budgets, [float(flags.mean()) for flags in left])
    nearer = np.searchsorted(broken, values * (1 + 1e-9), side="right")
    lower = np.minimum(straight, (clean.sum() - nearer) / len(clean))
    at = np.searchsorted(values, budgets)
    exact = [
        float((flags & (least > eps * (1 + 1e-9))).mean())
        for flags, eps in zip(left, budgets, strict=True)
    ]
    shares = lower - np.interp(values, budgets, lower[at] - exact)
    shares = np.minimum.accumulate(np.maximum(shares, 0.0))
    count = len(clean)
    return DrawnLine(
        TOGETHER,
        "worst",
        values.tolist(),
        shares.tolist(),
        [wilson(share * count, count) for share in shares],
        marked=at.tolist(),
    )


def _within_budgets(
    norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> list[tuple[float, Flags]]:
    """Return the budgets of attacks that have one, and what is right before and after each."""
    return [
        (float(attack.params["eps"]), right)
        for attack, right in right_after(outcomes, number, evaluation)
        if attack.threat.norm == norm
        and attack.params.get("eps")
        and not (attack.minimum_norm or attack.corrective)
    ]


def _least_distance(
    norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> PerImage:
    """Return how near the nearest image is that attacks which minimise a distance found."""
    least = np.full(len(outcomes), np.inf)
    for k, attack in enumerate(evaluation.attacks):
        if attack.corrective or attack.threat.targeted or not attack.minimum_norm:
            continue
        if attack.threat.norm == norm:
            distance = outcomes.column(f"e{number}_a{k}_{norm}").astype(np.float64)
            reached = outcomes.row(number, k, "reached")
            least = np.minimum(least, np.where(reached, distance, np.inf))
    return least
