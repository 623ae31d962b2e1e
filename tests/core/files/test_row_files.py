"""Arrays on disk that are written a few rows at a time."""

import numpy as np
import pytest

from helpers.killing import full_disk
from tfrobust.errors import StoreError
from tfrobust.files.row_files import RowFile


def numbers(count, shape=()):
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("shape", [(), (3, 2, 1)])
def test_rows_written_in_any_order_are_an_array_that_numpy_maps(shape, tmp_path):
    rows = numbers(10, shape)
    file = RowFile.create(tmp_path / "in" / "x.npy", 10, np.dtype(np.float32), shape)
    for start, stop in ((7, 10), (0, 4), (4, 7)):
        file.write(start, rows[start:stop])
    np.testing.assert_array_equal(np.load(tmp_path / "in" / "x.npy", mmap_mode="r"), rows)
    np.testing.assert_array_equal(file.read(2, 5), rows[2:5])


@pytest.mark.parametrize(
    "ranges", [[(0, 1000)], [(10, 20), (500, 1000)], [(0, 3), (999, 1000)], []]
)
def test_rows_that_are_not_kept_leave_no_hole(ranges, tmp_path, monkeypatch):
    monkeypatch.setattr("tfrobust.files.row_files._AT_ONCE", 64)
    rows = numbers(1000)
    file = RowFile.create(tmp_path / "x.npy", 1000, np.dtype(np.float32))
    file.write(0, rows)
    file.keep(ranges)
    expected = np.concatenate([rows[:0], *(rows[start:stop] for start, stop in ranges)])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)


def test_a_full_disk_costs_one_line(tmp_path):
    with full_disk(100), pytest.raises(StoreError, match=r"cannot write .*x\.npy: File too large"):
        RowFile.create(tmp_path / "x.npy", 1000, np.dtype(np.float32))


def test_rows_that_stay_in_their_place_are_not_read(tmp_path, monkeypatch):
    rows = RowFile.create(tmp_path / "rows.npy", 5, np.dtype(np.float32), (2,))
    content = np.arange(10, dtype=np.float32).reshape(5, 2)
    rows.write(0, content)
    read = []
    monkeypatch.setattr(RowFile, "read", lambda _, *place: read.append(place))

    rows.keep([(0, 5)])

    assert not read
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), content)
