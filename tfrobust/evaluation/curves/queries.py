"""Accuracy and distance against queries: from what was recorded while a black-box attack ran."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfrobust.engine.recording import GRID
from tfrobust.norms.distances import within_budget
from tfrobust.results.query_curve import QueryCurve
from tfrobust.types import Flags

if TYPE_CHECKING:
    from tfrobust.evaluation.judging import Attacked


def curve_of(attacked: Attacked, right: Flags) -> QueryCurve:
    """Return what an attack has reached by each number of queries, up to the last that it asked.

    Args:
        attacked: a classifier under the attack, recorded.
        right: bool `(n,)`: which images were right before the attack.
    """
    attack, most = attacked.attack, int(attacked.column("asked").max(initial=1))
    numbers = [*(q for q in GRID if q < most), *[q for q in GRID if q >= most][:1]]
    fallen, medians = [], []
    for queries in numbers:  # a column at a time is in memory
        least = attacked.column(f"by{queries}")[right]
        fallen.append(int((np.isfinite(least) & within_budget(least, attack.budget)).sum()))
        medians.append(float(np.median(least)) if len(least) else np.inf)
    half = [q for q, count in zip(numbers, fallen, strict=True) if 2 * count >= right.sum() > 0]
    accuracy = distance = None
    if attack.budget is not None or attack.threat.norm is None:
        accuracy = [(int(right.sum()) - count) / len(right) for count in fallen]
    if attack.minimum_norm:
        distance = [median if np.isfinite(median) else None for median in medians]
    return QueryCurve(
        queries=numbers,
        accuracy=accuracy,
        distance=distance,
        accuracy_area=area(numbers, accuracy),
        distance_area=area(numbers, distance),
        median=half[0] if half and accuracy is not None else None,
    )


def area(queries: Sequence[int], values: Sequence[float | None] | None) -> float | None:
    """Return the mean over the logarithm of the queries, by trapezoids, from the first value on.

    Args:
        queries: ascending.
        values: at each; `None` where there is none.

    Example:
        >>> area([1, 10, 100], [None, 4.0, 2.0])
        3.0
    """
    pairs = zip(queries, values or [None] * len(queries), strict=True)
    known = [(math.log(number), value) for number, value in pairs if value is not None]
    if not known:
        return None
    places, heights = np.transpose(known)
    if len(known) == 1:
        return float(heights[0])
    middles = 0.5 * (heights[1:] + heights[:-1])
    return float((middles * np.diff(places)).sum() / (places[-1] - places[0]))
