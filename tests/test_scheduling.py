"""Tests that share a slow fixture run in one process; all others run anywhere."""

import pytest

from helpers.scheduling import LoadSharedScheduling

CONTRACT = "tests/plugins/attacks/test_attack_contract.py"
SINGLE = "tests/core/ground/test_random.py"
SHARING = "tests/cli/test_fuzz.py"  # has a fixture of its module


def scope(nodeid):
    return LoadSharedScheduling._split_scope(None, nodeid)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        (f"{CONTRACT}::test_x[a@pgd-linf]", f"{CONTRACT}::test_x[b@pgd-linf]", True),
        (f"{CONTRACT}::test_x[a@pgd-linf]", f"{CONTRACT}::test_x[a@pgd-l2]", False),
        (f"{SHARING}::test_x[a]", f"{SHARING}::test_y", True),
        (f"{SINGLE}::test_x[1]", f"{SINGLE}::test_x[2]", False),
    ],
)  # fmt: skip
def test_tests_that_share_a_fixture_are_handed_out_together(one, other, together):
    assert (scope(one) == scope(other)) == together
