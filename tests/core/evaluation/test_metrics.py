"""Shares, intervals and distances against values worked out by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from tfrobust.results import metrics


@pytest.mark.parametrize("successes", [0, 1, 45, 90, 100])
def test_wilson_interval_is_scipys(successes):
    expected = binomtest(successes, 100).proportion_ci(0.95, method="wilson")
    assert metrics.wilson(successes, 100) == pytest.approx(tuple(expected), abs=1e-12)


def test_wilson_interval_is_the_published_one():
    """81 of 263, the example of Newcombe, "Two-sided confidence intervals" (1998), table I."""
    assert metrics.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_wilson_interval_of_nothing_is_everything():
    assert metrics.wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("trials", [1, 7, 360])
def test_wilson_interval_holds_the_share_and_stays_between_0_and_1(trials):
    for successes in range(trials + 1):
        low, high = metrics.wilson(successes, trials)
        assert 0 <= low <= successes / trials + 1e-12
        assert successes / trials - 1e-12 <= high <= 1


def test_shares_are_over_the_images_their_names_say():
    labels = np.array([0, 0, 0, 1, 1])
    clean = np.array([0, 0, 1, 1, 1])  # the third is misread to begin with
    after = np.array([1, 0, 0, 1, 0])
    success = np.array([True, False, False, False, True])
    assert metrics.success_rate(success, clean == labels) == 2 / 4
    assert metrics.fooling_ratio(after, clean) == 3 / 5
    right = metrics.survivors(after, clean, labels)
    assert right.tolist() == [False, True, False, True, False]


def test_a_summary_of_nothing_is_null():
    assert metrics.summary(np.array([])) == {"mean": None, "median": None}
    assert metrics.summary(np.array([1.0, 2.0, 6.0])) == {"mean": 3.0, "median": 2.0}
    assert math.isnan(metrics.share(np.array([], bool)))
