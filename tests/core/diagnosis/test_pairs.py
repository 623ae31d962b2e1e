"""The paired test against counting by hand."""

import itertools

import numpy as np
import pytest

from tfrobust.diagnosis.pairs import compare


@pytest.mark.parametrize(("more", "less"), [(0, 0), (1, 0), (3, 2), (8, 0), (5, 1), (0, 4)])
def test_the_p_value_is_the_share_of_coin_tosses_that_favour_the_first_as_much(more, less):
    first = np.array([True] * more + [False] * less + [True, False])
    second = np.array([False] * more + [True] * less + [True, False])

    pair = compare(first, second)

    tosses = list(itertools.product([0, 1], repeat=more + less))
    expected = sum(sum(toss) >= more for toss in tosses) / len(tosses)
    assert (pair.more, pair.less, pair.images) == (more, less, more + less + 2)
    assert pair.p == pytest.approx(expected)


def test_no_images_favour_nobody():
    pair = compare(np.zeros(0, bool), np.zeros(0, bool))

    assert not pair.is_certain
    assert pair.gain == 0.0


def test_a_difference_on_few_of_all_images_is_certain_and_yet_no_masking():
    first, second = np.ones(10, bool), np.zeros(10, bool)

    assert compare(first, second).is_certain
    assert not compare(first, second, stand_for=0.04).is_certain
    assert compare(first, second, stand_for=0.06).is_certain
