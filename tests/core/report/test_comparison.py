"""Two runs compared image by image: counts, intervals, chance, and what cannot be compared."""

import numpy as np
import pytest
from scipy import stats

from helpers.support import InMemory, small_classifier
from tfrobust.errors import UsageError
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.registry import create
from tfrobust.report.comparison import compare, difference, render_comparison
from tfrobust.results.outcomes import Outcomes


def evaluated(folder, *budgets, images=40, limit=None, **classifiers):
    settings = EvaluationSettings(
        classifiers=classifiers,
        scenario=InMemory(images=images),
        attacks=[create("attacks", "fgsm", eps=eps) for eps in budgets],
        baselines=(),
        limit=limit,
    )
    run(settings, folder)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    evaluated(folder / "one", 0.1, 0.3, c=small_classifier())
    evaluated(folder / "two", 0.1, 0.2, c=small_classifier(), d=small_classifier())
    evaluated(folder / "other", 0.1, e=small_classifier(), f=small_classifier())
    evaluated(folder / "fewer", 0.1, c=small_classifier(), limit=20)
    return folder


def test_counts_are_those_of_the_images_and_the_test_is_mcnemars():
    first, second = np.arange(100) < 60, (np.arange(100) >= 10) & (np.arange(100) < 85)
    one = difference(("a", "a"), "clean", first, second)
    assert (one.gained, one.lost) == (25, 10)
    assert one.change == pytest.approx(0.15)
    assert one.p == pytest.approx(2 * stats.binom.cdf(10, 35, 0.5))
    assert one.interval[0] < one.change < one.interval[1]
    nothing = difference(("a", "a"), "clean", first, first)
    assert (nothing.change, nothing.p) == (0.0, 1.0)
    assert nothing.interval[0] == pytest.approx(-nothing.interval[1])


def test_intervals_hold_the_truth_as_often_as_they_say():
    draw, held = np.random.default_rng(0), 0
    for _ in range(400):
        first = draw.uniform(size=80) < 0.6
        second = np.where(draw.uniform(size=80) < 0.3, draw.uniform(size=80) < 0.8, first)
        low, high = difference(("a", "b"), "clean", first, second).interval
        held += low <= 0.3 * (0.8 - 0.6) <= high
    assert 0.925 <= held / 400 <= 0.985


def test_runs_are_compared_where_both_have_the_classifier_and_the_attack(runs):
    found = compare(runs / "one", runs / "two")
    assert [one.what for one in found.differences] == ["clean", "fgsm L∞ ≤ 0.1"]
    assert found.unmatched == ["fgsm L∞ ≤ 0.3", "fgsm L∞ ≤ 0.2"]
    outcomes = [Outcomes.read(runs / name) for name in ("one", "two")]
    label = outcomes[0].column("label")
    right = [
        (o.column("e0_clean") == label) & (o.column("e0_a0_prediction") == label) for o in outcomes
    ]
    assert found.differences[1].gained == int((right[1] & ~right[0]).sum())
    assert found.differences[1].first.accuracy == pytest.approx(right[0].mean())
    same = compare(runs / "one", runs / "one")
    assert [one.what for one in same.differences][-1] == "worst case of these"
    assert all(one.gained == one.lost == 0 for one in same.differences)
    assert "No difference is beyond chance" in render_comparison(same)
    assert len(same.table.sections[0]) == 4


def test_what_is_not_alike_is_refused(runs):
    with pytest.raises(UsageError, match="no classifier is in both runs"):
        compare(runs / "one", runs / "other")
    with pytest.raises(UsageError, match=r"received: 40 of in_memory \(test\) and 20 of"):
        compare(runs / "one", runs / "fewer")
