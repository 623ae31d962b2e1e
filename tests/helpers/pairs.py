"""Parametrize over a product so that every pair of values is run; the rest runs when asked for."""

import itertools

import pytest


def pairwise(first, second, third):
    """Return the product of three axes, of which so many are marked slow that the rest is pairwise.

    Args:
        first: values of one parameter, as many as of `third` at least.
        second: values of another, as many as of `third` at least.
        third: values of the last; any two values of different parameters meet in a test that is
            not slow.

    Returns:
        a × b × c parameters in the order of the product; a × b of them are not slow.
    """
    assert len(third) <= min(len(first), len(second)), "the shortest comes last"
    return [
        pytest.param(a, b, c, marks=[] if k == (i + j) % len(third) else pytest.mark.slow)
        for (i, a), (j, b), (k, c) in itertools.product(*map(enumerate, (first, second, third)))
    ]


def each_once(first, second):
    """Return the product of two axes, of which each value is run once or more; the rest is slow.

    Args:
        first: values of one parameter.
        second: values of another.

    Returns:
        a × b parameters in the order of the product; max(a, b) of them are not slow.
    """
    longer = max(len(first), len(second))
    fast = {(number % len(first), number % len(second)) for number in range(longer)}
    return [
        pytest.param(a, b, marks=[] if (i, j) in fast else pytest.mark.slow)
        for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second))
    ]
