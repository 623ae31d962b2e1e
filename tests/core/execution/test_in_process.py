"""The executor of one process: in order, one start, mistakes as they are."""

import pytest

from tfrobust.errors import DataError
from tfrobust.execution.executor import InProcess


class Doubling:
    """Doubles numbers; refuses 3."""

    def __init__(self):
        self.starts, self.computed = 0, []

    def start(self):
        self.starts += 1
        return self._compute

    def _compute(self, item):
        if item == 3:
            raise DataError("3 is refused")
        self.computed.append(item)
        return 2 * item


def test_items_are_computed_in_order_after_one_start():
    job = Doubling()

    assert list(InProcess().map(job, [4, 1, 2])) == [(4, 8), (1, 2), (2, 4)]
    assert job.starts == 1


def test_an_item_is_computed_only_once_the_one_before_it_was_taken():
    job = Doubling()
    results = InProcess().map(job, iter([1, 2]))

    assert next(results) == (1, 2)
    assert job.computed == [1]


def test_nothing_is_loaded_where_there_is_no_item():
    job = Doubling()

    assert list(InProcess().map(job, [])) == []
    assert job.starts == 0


def test_a_mistake_passes_through_and_cancels_the_rest():
    job = Doubling()
    with pytest.raises(DataError, match=r"^3 is refused$"):
        list(InProcess().map(job, [1, 3, 2]))

    assert job.computed == [1]
