"""Figures with the intervals that their images allow, and sums of them.

A share of n images has Wilson's interval. A weighted sum of shares has the limits of the *method of
variance estimates recovery* (Zou & Donner 2008), of which Newcombe's interval for a difference of
two proportions (1998, methods 10 and 11) is a case:

    L − √Σᵢⱼ ρᵢⱼ aᵢ aⱼ,  aᵢ the signed distance of wᵢ pᵢ from its own limit

ρ, the correlation of two shares over images, comes from the outcomes of the images where the cells
keep them. Where they do not, it is taken as 0 where errors cancel and as 1 where they add up: that
makes the interval wider, and never narrower, as long as networks tend to fail on the same images.
A ratio has the limits of Donner & Zou (2012), with ρ = 0.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfrobust.types import PerImage

UNBOUNDED = 1e6  # an upper limit that is none, as of a ratio over almost nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A figure in a sum.

    Attributes:
        name: of the figure; the same in two parts: the same figure.
        weight: in the sum.
        value: of the figure.
        low: its lower limit.
        high: its upper limit.
        images: which images it is a share of; shares of other images are independent.
        outcomes: of each image, whose mean is `value`; `None`: not known.
    """

    name: tuple[str, ...]
    weight: float
    value: float
    low: float
    high: float
    images: str = ""
    outcomes: PerImage | None = None

    def distance(self, *, above: bool) -> float:
        """Return how far the weighted figure may lie above (or below) its value, with its sign."""
        upper = self.high - self.value if above == (self.weight > 0) else self.value - self.low
        return self.weight * upper


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """A sum of figures and a constant, from one seed.

    Attributes:
        parts: the figures.
        constant: added to them.
    """

    parts: tuple[Part, ...] = ()
    constant: float = 0.0

    @property
    def value(self) -> float:
        """The sum."""
        return math.fsum([self.constant, *(part.weight * part.value for part in self.parts)])

    def times(self, weight: float) -> Estimate:
        """Return the sum, each part and the constant multiplied."""
        parts = [dataclasses.replace(part, weight=weight * part.weight) for part in self.parts]
        return Estimate(tuple(parts), weight * self.constant)

    def plus(self, other: Estimate) -> Estimate:
        """Return the sum of two sums; what stands in both is counted once, and cancels."""
        merged = {part.name: part for part in self.parts}
        for part in other.parts:
            weight = part.weight + (merged[part.name].weight if part.name in merged else 0.0)
            merged[part.name] = dataclasses.replace(part, weight=weight)
        parts = tuple(part for part in merged.values() if part.weight)
        return Estimate(parts, self.constant + other.constant)

    def over(self, other: Estimate) -> Estimate | None:
        """Return the ratio of two sums as one figure; `None` over zero.

        Source: Donner & Zou, "Closed-form confidence intervals for functions of the normal mean and
        standard deviation" (2012).
        """
        above, below = self.value, other.value
        if below == 0:
            return None
        names = (*(part.name for part in self.parts), ("over",), *(p.name for p in other.parts))
        name = tuple(word for names_of_part in names for word in names_of_part)
        if above < 0 or below < 0:  # no ratio of shares, for which the limits are made
            return Estimate((Part(name, 1.0, above / below, above / below, above / below),))
        low, high = _ratio_limits(self, other)
        return Estimate((Part(name, 1.0, above / below, low, high, self._images(other)),))

    def _images(self, other: Estimate) -> str:
        named = {part.images for part in (*self.parts, *other.parts)}
        return named.pop() if len(named) == 1 else ""

    @property
    def distances(self) -> tuple[float, float]:
        """How far it may lie below and above its value, for the images alone; not negative."""
        below, above = (
            math.sqrt(max(0.0, _squared(self.parts, above=above))) for above in (False, True)
        )
        return below, above


def _squared(parts: tuple[Part, ...], *, above: bool) -> float:
    distances = [part.distance(above=above) for part in parts]
    return math.fsum(
        (1.0 if i == j else _correlation(parts[i], parts[j])) * distances[i] * distances[j]
        for i in range(len(parts))
        for j in range(len(parts))
    )


def _correlation(one: Part, other: Part) -> float:
    """Return the correlation of two shares over images, or a bound that widens the interval."""
    if one.images != other.images:
        return 0.0
    if one.outcomes is None or other.outcomes is None:
        return 1.0 if one.weight * other.weight > 0 else 0.0
    few, many = sorted((len(one.outcomes), len(other.outcomes)))  # the first images of one split
    first, second = one.outcomes[:few], other.outcomes[:few]
    deviations = float(first.std()) * float(second.std())
    if deviations == 0:
        return 0.0
    covariance = float(np.mean((first - first.mean()) * (second - second.mean())))
    return covariance / deviations * math.sqrt(few / many)


def _ratio_limits(above: Estimate, below: Estimate) -> tuple[float, float]:
    """Return the limits of a ratio of two independent figures that are not negative."""
    (under, over), (lower, upper) = above.distances, below.distances
    a_low, a_high = max(0.0, above.value - under), above.value + over
    b_low, b_high = max(0.0, below.value - lower), below.value + upper
    product, a, b = above.value * below.value, above.value, below.value

    def limit(a_end: float, b_end: float, sign: float) -> float:
        squared = product**2 - a_end * b_end * (2 * a - a_end) * (2 * b - b_end)
        divisor = b_end * (2 * b - b_end)
        if divisor <= 0:
            return 0.0 if sign < 0 else UNBOUNDED
        return min((product + sign * math.sqrt(max(0.0, squared))) / divisor, UNBOUNDED)

    return max(0.0, limit(a_low, b_high, -1.0)), limit(a_high, b_low, 1.0)
