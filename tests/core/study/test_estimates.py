"""Intervals of shares, of their sums and ratios, and of means over seeds."""

import itertools
import math

import numpy as np
import pytest

from tfrobust.results.metrics import wilson
from tfrobust.study.results.estimates import UNBOUNDED, Estimate, Part
from tfrobust.study.results.margins import Interval, interval_of, students_t


def share(name, successes, trials, weight=1.0, outcomes=None, images="same"):
    low, high = wilson(successes, trials)
    part = Part((name,), weight, successes / trials, low, high, images, outcomes)
    return Estimate((part,))


def ends(estimate):
    below, above = estimate.distances
    return estimate.value - below, estimate.value + above


def test_one_share_has_wilsons_interval():
    assert ends(share("a", 90, 100)) == pytest.approx(wilson(90, 100))


def test_a_share_that_is_subtracted_turns_its_limits_round():
    low, high = wilson(90, 100)
    assert ends(share("a", 90, 100).times(-1.0)) == pytest.approx((-high, -low))


def test_a_difference_of_independent_shares_has_newcombes_interval():
    # Newcombe 1998, "Interval estimation for the difference between independent proportions",
    # table II, example (a), method 10: 56/70 − 48/80
    difference = share("a", 56, 70, images="x").plus(share("b", 48, 80, images="y").times(-1.0))
    assert ends(difference) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_outcomes_of_the_same_images_narrow_a_difference():
    random = np.random.default_rng(0)
    before = (random.random(1000) < 0.5).astype(float)
    after = before.copy()
    after[:20] = 1.0
    one = share("a", after.sum(), 1000, outcomes=after)
    other = share("b", before.sum(), 1000, outcomes=before)
    low, high = ends(one.plus(other.times(-1.0)))
    apart = share("a", after.sum(), 1000).plus(share("b", before.sum(), 1000).times(-1.0))
    changed = after - before
    half = 1.96 * changed.std() / math.sqrt(1000)
    assert high - low == pytest.approx(2 * half, rel=0.1)
    assert high - low < (ends(apart)[1] - ends(apart)[0]) / 4


def test_paired_intervals_cover_the_true_difference():
    random, covered, truth = np.random.default_rng(1), 0, 0.1 * 0.4
    for _ in range(400):
        other = (random.random(200) < 0.5).astype(float)
        mended = (random.random(200) < 0.1) & (other == 0)
        spoilt = (random.random(200) < 0.02) & (other == 1)
        one = np.where(mended, 1.0, np.where(spoilt, 0.0, other))
        estimate = share("a", one.sum(), 200, outcomes=one).plus(
            share("b", other.sum(), 200, outcomes=other).times(-1.0)
        )
        low, high = ends(estimate)
        covered += low <= truth <= high
    assert covered / 400 >= 0.93


def test_without_outcomes_errors_that_add_up_are_taken_as_the_same():
    both = share("a", 50, 100).plus(share("b", 50, 100))
    low, high = ends(share("a", 50, 100))
    assert ends(both) == pytest.approx((2 * low, 2 * high))


def test_a_share_less_itself_is_nothing():
    nothing = share("a", 50, 100).plus(share("a", 50, 100).times(-1.0))
    assert (nothing.value, nothing.distances) == (0.0, (0.0, 0.0))


def test_a_ratio_lies_within_its_limits_and_over_nothing_has_none():
    ratio = share("a", 30, 100, images="x").over(share("b", 60, 100, images="y"))
    low, high = ends(ratio)
    assert ratio.value == pytest.approx(0.5)
    assert (0.33 < low < 0.4, 0.6 < high < 0.75) == (True, True)
    assert share("a", 30, 100).over(share("b", 0, 100)) is None
    assert ends(share("a", 3, 4).over(share("b", 1, 100)))[1] <= UNBOUNDED


def of_seeds(*values, low=0.0):
    """Figures of one network, one a seed, that the images leave `low` open either way."""

    def figure(value):
        return lambda _: Estimate((Part(("a",), 1.0, value, value - low, value + low, "x"),))

    return {seed: figure(value) for seed, value in enumerate(values)}


def test_three_seeds_give_students_interval():
    interval = interval_of({"a": 1.0}, of_seeds(0.1, 0.2, 0.3))
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert interval == Interval(
        pytest.approx(0.2), pytest.approx(0.2 - half), pytest.approx(0.2 + half)
    )


def test_seeds_that_agree_are_no_surer_than_their_images_allow():
    assert interval_of({"a": 1.0}, of_seeds(0.2, 0.2, 0.2, low=0.05)).low == pytest.approx(0.15)


def test_a_difference_between_networks_is_paired_by_seed():
    figures = {seed: {"a": 0.5 + seed / 10, "b": 0.4 + seed / 10} for seed in range(3)}

    def of(seed):
        return lambda name: Estimate(constant=figures[seed][name])

    interval = interval_of({"a": 1.0, "b": -1.0}, {seed: of(seed) for seed in figures})
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("seeds", "half"), [((0.2,), 0.1), ((0.2, 0.2), 0.1 / math.sqrt(2))])
def test_a_known_spread_serves_one_seed_or_two(seeds, half):
    interval = interval_of({"a": 1.0}, of_seeds(*seeds), spread=0.1 / 1.959964)
    assert interval.high - interval.value == pytest.approx(half, rel=1e-5)
    both = {"a": 1.0, "b": -1.0}
    figures = {0: lambda name: Estimate(constant=0.1)}
    assert interval_of(both, figures, spread=0.1).high == pytest.approx(1.959964 * 0.1 * 2**0.5)


def test_students_quantiles_fall_towards_the_normal_one():
    quantiles = [students_t(freedom) for freedom in range(1, 200)]
    assert all(one > other for one, other in itertools.pairwise(quantiles))
    known = {10: 2.2281, 11: 2.2010, 30: 2.0423, 100: 1.9840}
    assert {freedom: students_t(freedom) for freedom in known} == pytest.approx(known, abs=1e-4)
