"""What attacks find on a small network, beside the true least distance."""

import pytest

from benchmarks import exact


@pytest.fixture(scope="module")
def subject():
    return exact.subject()


@pytest.mark.slow
def test_the_search_ends_for_fifty_digits(subject):
    assert len(subject.images) == exact.IMAGES
    assert subject.exact.complete.all()


@pytest.mark.slow
@pytest.mark.parametrize("name", exact.ENTRIES)
def test_no_attack_is_nearer_and_no_certificate_farther_than_the_exact_distance(subject, name):
    row = exact.row(subject, name)
    assert row["holds"], row
