"""The lines of a chart, before they are drawn: attacks, what is proven, and the worst case."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfrobust.report.conditions import figures_of
from tfrobust.report.curve_axes import Axis, lines_on
from tfrobust.report.figures import points
from tfrobust.results.kinds import right_after
from tfrobust.results.metrics import wilson
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Evaluation
from tfrobust.types import Norm

WORST, CERTIFIED = "worst case", "certified"
_GRID = 60  # values of a distance that a whole curve is drawn at


@dataclasses.dataclass(frozen=True)
class DrawnLine:
    """A line before it is drawn; where not every value is marked, `marked` are those that are."""

    name: str
    kind: str
    values: list[float]
    shares: list[float]
    bands: list[tuple[float, float]]
    marked: list[int] | None = None


def drawn_lines(
    axis: Axis, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> Iterator[DrawnLine]:
    """Yield the attacks, what is proven, and the worst case.

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
    if axis.norm and (worst := _worst(axis.norm, number, evaluation, outcomes)):
        yield worst


def _worst(norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes) -> DrawnLine | None:
    """Return what all attacks of a norm leave together: never more than any of them leaves.

    It is measured at the budgets that were evaluated. Between them attacks with a budget are drawn
    straight, attacks that minimise a distance as they are, and the lower of the two counts, less
    the images that only one of them breaks.
    """
    measured = {0.0: evaluation.clean.accuracy} | {
        figure.eps: figure.share.accuracy
        for figure in figures_of(number, evaluation, outcomes)
        if figure.what == "accuracy" and figure.norm == norm and figure.eps is not None
    }
    left = _left_by_distance(norm, number, evaluation, outcomes)
    budgets = sorted(measured)
    values = np.asarray(sorted({*budgets, *(left[0] if left else ())}))
    if len(values) < 2:
        return None
    count = evaluation.scenario.images
    shares = np.interp(values, budgets, [measured[eps] for eps in budgets])
    if left:
        fixed = _left_at_budgets(norm, number, evaluation, outcomes)
        lower = np.minimum(np.interp(values, *fixed), np.interp(values, *left))
        at_budgets = np.interp(budgets, values, lower)
        less = [
            max(0.0, lower_ - measured[b]) for b, lower_ in zip(budgets, at_budgets, strict=True)
        ]
        shares = lower - np.interp(values, budgets, less)
    shares = np.minimum.accumulate(np.maximum(shares, 0.0))
    return DrawnLine(
        WORST,
        "worst",
        values.tolist(),
        shares.tolist(),
        [wilson(share * count, count) for share in shares],
        marked=[int(np.searchsorted(values, eps)) for eps in budgets],
    )


def _left_at_budgets(
    norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> tuple[list[float], list[float]]:
    """Return budgets, and what attacks with a budget leave together at each, from 0 on."""
    clean = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    known = [
        (float(attack.params["eps"]), right)
        for attack, right in right_after(outcomes, number, evaluation)
        if attack.threat.norm == norm and attack.params.get("eps") and not attack.minimum_norm
    ]
    budgets, shares = [0.0], [float(clean.mean())]
    for eps in sorted({eps for eps, _ in known}):
        within = [right for other, right in known if other <= eps]
        budgets.append(eps)
        shares.append(float(np.logical_and.reduce(within).mean()))
    return budgets, shares


def _left_by_distance(
    norm: Norm, number: int, evaluation: Evaluation, outcomes: Outcomes
) -> tuple[list[float], list[float]] | None:
    """Return distances, and what attacks that minimise them leave at each; `None`: no such."""
    right = outcomes.column(f"e{number}_clean") == outcomes.column("label")
    least = np.full(len(right), np.inf)
    found = False
    for k, attack in enumerate(evaluation.attacks):
        if attack.minimum_norm and attack.threat.norm == norm and not attack.threat.targeted:
            distance = outcomes.column(f"e{number}_a{k}_{norm}")
            reached = np.where(outcomes.row(number, k, "reached"), distance, np.inf)
            least, found = np.minimum(least, reached), True
    broken = np.sort(least[right & np.isfinite(least)])
    if not found or not len(broken):
        return None
    grid = np.linspace(0.0, 1.05 * float(broken[-1]), _GRID)
    shares = (right.sum() - np.searchsorted(broken, grid, side="right")) / len(right)
    return grid.tolist(), shares.tolist()
