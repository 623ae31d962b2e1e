"""Fixtures that the tests of studies share."""

import pytest

from helpers.small_study import SMALL


@pytest.fixture
def study(tmp_path):
    return SMALL.written(tmp_path)
