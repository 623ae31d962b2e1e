"""Which cases of a large matrix are tested in every run; `make test-slow` tests them all."""

import itertools
import zlib

import pytest


def thinned(cases, one_in=3):
    """Return the cases as parameters, all but one in so many of them marked slow.

    Their names alone decide which, so that a new case changes no other. Each case is a value, a
    tuple of values, or a `pytest.param`.
    """
    return [_thinned(_param(case), one_in) for case in cases]


def product(*axes, one_in=3):
    """Return all combinations of the values of some axes, thinned."""
    return thinned(itertools.product(*axes), one_in)


def _param(case):
    if hasattr(case, "marks"):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)


def _thinned(param, one_in):
    name = param.id or repr(param.values)
    marks = [] if zlib.crc32(name.encode()) % one_in == 0 else [pytest.mark.slow]
    return pytest.param(*param.values, id=param.id, marks=[*param.marks, *marks])
