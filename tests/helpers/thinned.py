"""Which cases of a large matrix are tested in every run; `make test-slow` tests them all."""

import itertools
import zlib

import pytest


def thinned(cases, one_in=3):
    """Return the cases as parameters, all but one in so many of them marked slow.

    Their names alone decide which, so that a new case changes no other; where they choose none, the
    first one is tested. Each case is a value, a tuple of values, or a `pytest.param`.
    """
    params = [_param(case) for case in cases]
    chosen = [zlib.crc32(_name(param).encode()) % one_in == 0 for param in params]
    if params and not any(chosen):
        chosen[0] = True
    return [param if fast else _slow(param) for param, fast in zip(params, chosen, strict=True)]


def named(check):
    """Return a function as a parameter that is called by its name."""
    return pytest.param(check, id=check.__name__)


def product(*axes, one_in=3):
    """Return all combinations of the values of some axes, thinned."""
    return thinned(itertools.product(*axes), one_in)


def _param(case):
    if hasattr(case, "marks"):
        return case
    return pytest.param(*case) if isinstance(case, tuple) else pytest.param(case)


def _name(param):
    return param.id or repr(param.values)


def _slow(param):
    return pytest.param(*param.values, id=param.id, marks=[*param.marks, pytest.mark.slow])
