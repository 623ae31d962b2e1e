"""What a check asks, as margins that must not be negative; and the intervals of margins.

A check holds if all margins of one of its alternatives are on the right side. Most checks have one
alternative; where one of several winners may be greatest, there is one for each.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping

from scipy.special import stdtrit

from tfrobust.study.results.estimates import Estimate
from tfrobust.study.schema.outputs import Check

Z = 1.959963984540054  # the normal quantile that leaves 2.5 % on either side
_ROUNDING = 1e-9
_ENOUGH = 3  # seeds; Student's t of two is 12.7, and tells hardly anything apart


@dataclasses.dataclass(frozen=True)
class Margin:
    """How far a comparison of networks is on the right side of a threshold.

    Attributes:
        weights: network → its weight in what is compared, such as 1 and −1 in a difference.
        sign: 1 where more of it is better, −1 where less is.
        threshold: that it must reach, or keep below.
        strict: whether reaching it does not suffice.
    """

    weights: tuple[tuple[str, float], ...]
    sign: float
    threshold: float
    strict: bool = False

    @property
    def networks(self) -> list[str]:
        """The networks that are compared, from the most to the least weight."""
        return [name for name, _ in sorted(self.weights, key=lambda pair: -pair[1])]

    def right(self, interval: Interval) -> bool:
        """Tell whether an interval of what is compared lies on the right side."""
        end = interval.low if self.sign > 0 else interval.high
        margin = self.sign * (end - self.threshold)
        return margin > _ROUNDING if self.strict else margin >= -_ROUNDING

    def wrong(self, interval: Interval) -> bool:
        """Tell whether an interval of what is compared lies on the wrong side."""
        end = interval.high if self.sign > 0 else interval.low
        margin = self.sign * (end - self.threshold)
        return margin <= _ROUNDING if self.strict else margin < -_ROUNDING

    def by(self, interval: Interval) -> float:
        """Return how far the value itself is on the right side."""
        return self.sign * (interval.value - self.threshold)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def alternatives_of(check: Check) -> list[list[Margin]]:
    """Return the margins of each way in which a check may hold."""
    names, bound = check.networks, check.bound or 0.0
    if check.kind in ("rising", "falling"):
        return [list(_ordered(check, names if check.kind == "rising" else names[::-1]))]
    if check.kind in ("greatest", "least"):
        return list(_placed(check))
    if check.kind == "leap":
        return list(_leaping(check))
    margins = []
    for name in names:
        own = ((name, 1.0),)
        if check.kind in ("above", "within"):
            margins.append(Margin(own, 1.0, bound if check.kind == "above" else -bound))
        if check.kind in ("below", "within"):
            margins.append(Margin(own, -1.0, bound))
    return [margins]


def _ordered(check: Check, names: tuple[str, ...]) -> Iterator[Margin]:
    """Yield that the ends are far enough apart, and nobody far behind one before it."""
    ends = _less(names[-1], names[0])
    yield Margin(ends, 1.0, check.by, strict=not check.by)
    if check.at_most is not None:
        yield Margin(ends, -1.0, check.at_most)
    for before, after in itertools.combinations(names, 2):
        if (before, after) != (names[0], names[-1]):
            yield Margin(_less(after, before), 1.0, -check.tolerance)


def _placed(check: Check) -> Iterator[list[Margin]]:
    """Yield, for each winner, that so many are ahead of it and all others behind."""
    sign = 1.0 if check.kind == "greatest" else -1.0
    for winner in check.winners:
        # Which of several winners is first does not matter; which is second does.
        others = [
            name
            for name in check.networks
            if name != winner and (check.place > 1 or name not in check.winners)
        ]
        for ahead in itertools.combinations(others, check.place - 1):
            yield [
                Margin(_less(*pair), sign, 0.0)
                for other in others
                for pair in [(other, winner) if other in ahead else (winner, other)]
            ]


def _leaping(check: Check) -> Iterator[list[Margin]]:
    """Yield, for each winner, that the rise to it is greater than every other."""
    names = check.networks
    rises = {after: _less(after, before) for before, after in itertools.pairwise(names)}
    for winner in check.winners:
        if winner in rises:
            own = Margin(rises[winner], 1.0, 0.0, strict=True)
            others = [name for name in rises if name not in check.winners]
            yield [
                own,
                *(Margin(_apart(rises[winner], rises[name]), 1.0, 0.0) for name in others),
            ]


def _less(one: str, other: str) -> tuple[tuple[str, float], ...]:
    return ((one, 1.0), (other, -1.0))


def _apart(
    one: tuple[tuple[str, float], ...], other: tuple[tuple[str, float], ...]
) -> tuple[tuple[str, float], ...]:
    weights = dict(one)
    for name, weight in other:
        weights[name] = weights.get(name, 0.0) - weight
    return tuple((name, weight) for name, weight in weights.items() if weight)


def interval_of(
    weights: Mapping[str, float],
    seeds: Mapping[int, Callable[[str], Estimate]],
    spread: float | None = None,
) -> Interval:
    """Return the 95 % interval of a weighted sum over networks, paired by seed.

    Two things vary: which images were drawn, and how a training went. The first gives the sum's
    limits for one seed (`Estimate.distances`), which more seeds do not narrow, for they are tested
    on the same images. The second gives Student's t over seeds; where σ is known and there are one
    or two seeds, ± 1.96 σ √(Σ weights² / seeds); with one seed and no σ, nothing. The squares of
    both add up.

    Args:
        weights: network → its weight.
        seeds: seed → network → its figure.
        spread: σ, the standard deviation of one network's figure from training to training; it
            serves where there are less than three seeds.

    Example:
        >>> part = Part(("a",), 1.0, 0.9, 0.826, 0.945)
        >>> interval_of({"a": 1.0}, {0: lambda _: Estimate((part,))})
        Interval(value=0.9, low=0.826, high=0.945)
    """
    sums = []
    for figure_of in seeds.values():
        total = Estimate()
        for network, weight in weights.items():
            total = total.plus(figure_of(network).times(weight))
        sums.append(total)
    value = statistics.fmean(total.value for total in sums)
    below, above = (
        statistics.fmean(distances) for distances in zip(*(t.distances for t in sums), strict=True)
    )
    training = 0.0
    if spread is not None and len(sums) < _ENOUGH:
        squares = math.fsum(weight**2 for weight in weights.values())
        training = Z * spread * math.sqrt(squares / len(sums))
    elif len(sums) > 1:
        deviation = statistics.stdev(total.value for total in sums)
        training = students_t(len(sums) - 1) * deviation / math.sqrt(len(sums))
    return Interval(value, value - math.hypot(below, training), value + math.hypot(above, training))


def students_t(freedom: int) -> float:
    """Return the quantile of Student's t that leaves 2.5 % on either side.

    Args:
        freedom: degrees of freedom, 1 or more.

    Example:
        >>> round(students_t(2), 4)
        4.3027
    """
    return float(stdtrit(freedom, 0.975))
