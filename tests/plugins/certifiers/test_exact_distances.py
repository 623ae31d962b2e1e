"""What attacks find on a small network, beside the least distance."""

import pytest

from benchmarks import exact


@pytest.fixture(scope="module")
def subject():
    return exact.subject(0, exact.IMAGES)


@pytest.mark.slow
def test_the_search_ends_for_twenty_digits(subject):
    assert len(subject.images) == exact.IMAGES
    assert subject.known["linf"].all()


@pytest.mark.slow
@pytest.mark.parametrize("name", exact.ENTRIES)
def test_each_attack_is_as_near_as_asked_and_no_certificate_is_farther(subject, name):
    row = exact.row([subject], name)
    assert row["holds"], row
