"""Warm-started curves: monotone, cheaper, recorded; interrupted ones are climbed again."""

import dataclasses
import itertools

import numpy as np
import pytest

from helpers.support import InMemory
from tfrobust.errors import UsageError
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.evaluation.curves.warm_starts import curves, smaller_budgets
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.runs import run
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.registry import create
from tfrobust.results.run_files import read_results
from tfrobust.testing import small_classifier

SHAPE = (4, 4, 1)
SCENARIO = InMemory(images=40)
BUDGETS = [0.2, 0.05, 0.1, 0.4]
STEPS = 10


@pytest.fixture(scope="module")
def network():
    return small_classifier(SHAPE, 3)


@pytest.fixture(scope="module")
def both(network):
    """One curve, warm-started and not, with its images."""
    attacks = at_budgets([create("attacks", "pgd", steps=STEPS, early_stop=False)], BUDGETS)
    return [
        evaluate({"s": network}, SCENARIO, attacks, baselines=(), keep_images=True, warm_start=warm)
        for warm in (True, False)
    ]


def test_curves_are_the_fixed_budgets_of_one_attack_in_ascending_order():
    named = [create("attacks", name) for name in ("pgd", "ddn")]
    noise = create("attacks", "uniform_noise", eps=0.1)
    spread = at_budgets([named[0], dataclasses.replace(named[0], steps=3)], [0.2, 0.1])
    found = curves([*spread, named[1], noise, dataclasses.replace(noise, eps=0.2)])
    assert [[(attack.eps, attack.steps) for attack in curve] for curve in found] == [
        [(0.1, 40), (0.2, 40)], [(0.1, 3), (0.2, 3)]
    ]  # fmt: skip
    assert smaller_budgets(spread) == {spread[0]: 0.1, spread[2]: 0.1}


def test_what_is_broken_stays_broken_with_its_image_and_accuracy_falls(both):
    warm = both[0]
    order = np.argsort(BUDGETS)
    fates = [warm.outcomes.row(0, k, "success") for k in order]
    for before, after in itertools.pairwise(fates):
        assert not (before & ~after).any()
    [images] = warm.adversarial
    for small, large in itertools.pairwise(order):
        broken = warm.outcomes.row(0, int(small), "success")
        np.testing.assert_array_equal(images[small][broken], images[large][broken])
        moved = np.abs(images[large] - warm.images).max(axis=(1, 2, 3))
        assert moved.max() <= BUDGETS[large] + 1e-6
    [evaluation] = warm.results.evaluations
    accuracies = [evaluation.attacks[k].accuracy for k in order]
    assert accuracies == sorted(accuracies, reverse=True)
    assert not evaluation.warnings
    assert all(attack.violations == 0 for attack in evaluation.attacks)


def test_only_what_is_left_is_attacked_with_a_fifth_of_the_steps(both):
    warm, cold = (next(e.attacks for e in run.results.evaluations) for run in both)
    order = np.argsort(BUDGETS)
    assert warm[order[0]].gradients_per_image == cold[order[0]].gradients_per_image == STEPS
    for small, large in itertools.pairwise(order):
        broken = both[0].outcomes.row(0, int(small), "success")
        assert warm[large].gradients_per_image == pytest.approx(STEPS / 5 * (1 - broken.mean()))
    # Eight budgets cost at most 1 + 7/5 of the first one, whatever breaks.
    assert sum(a.gradients_per_image for a in warm) <= STEPS * (1 + (len(BUDGETS) - 1) / 5)
    assert [attack.continued_from for attack in warm] == [0.1, None, 0.05, 0.2]
    assert {attack.continued_from for attack in cold} == {None}


def test_a_transfer_is_not_warm_started(network):
    with pytest.raises(UsageError, match=r"warm_start: .*leave out crafted_on"):
        EvaluationSettings(
            classifiers={"s": network},
            scenario=SCENARIO,
            crafted_on=("other", network),
            warm_start=True,
        )


def test_an_interrupted_curve_ends_as_one_that_ran_through(network, tmp_path):
    attacks = at_budgets([create("attacks", "fgsm")], BUDGETS)
    settings = EvaluationSettings(
        classifiers={"s": network},
        scenario=SCENARIO,
        attacks=attacks,
        baselines=(),
        diagnosis=False,
        warm_start=True,
    )
    calls = 0

    def interrupt(what, done, total):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, tmp_path / "out", progress=interrupt)
    run(settings, tmp_path / "out")
    whole = run(settings, tmp_path / "whole")
    resumed = read_results(tmp_path / "out").evaluations[0].attacks
    timeless = [dict(attack) | {"seconds": 0} for attack in resumed]
    assert timeless == [dict(a) | {"seconds": 0} for a in whole.evaluations[0].attacks]
    assert "Warm start" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
