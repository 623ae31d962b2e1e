"""What tests of studies share."""

import pytest

from helpers.small_study import STUDY, written


@pytest.fixture
def study(tmp_path):
    return written(tmp_path, STUDY)
