"""Images in a temporary file: those of memory, and nothing is left behind."""

import errno
import gc
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.support import InMemory
from tfrobust.data import spooled as module
from tfrobust.data.reading import arrays
from tfrobust.data.spooled import blocks_of, gathered, release, spool, spooled
from tfrobust.errors import DataError, RobustError, StoreError
from tfrobust.registry import create


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.mark.parametrize("limit", [None, 1, 100, 10**9])
def test_they_are_the_images_and_labels_of_memory(scenario, limit):
    images, labels = spooled(scenario, "train", limit)
    assert isinstance(images, np.memmap)
    assert (images.dtype, labels.dtype) == (np.float32, np.int64)
    for mine, theirs in zip((images, labels), arrays(scenario, "train", limit), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_they_can_be_read_in_any_order_and_not_be_changed(scenario):
    images, _ = spooled(scenario, "train")
    rows = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(images[rows], np.array(images)[rows])
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0.0


class Bright(InMemory):
    """Its last image is no image."""

    def load(self, split):
        last = self.images - 1
        numbered = super().load(split).enumerate()
        return numbered.map(
            lambda index, example: {
                **example,
                "image": example["image"] + (2.0 if index == last else 0.0),
            }
        )


@pytest.mark.parametrize(
    ("scenario", "split", "limit"),
    [(InMemory(), "nowhere", None), (InMemory(), "train", 0), (Bright(images=2000), "train", None)],
)
def test_what_memory_refuses_is_refused(scenario, split, limit):
    refusals = []
    for read in (arrays, spooled):
        with pytest.raises(RobustError) as refusal:
            read(scenario, split, limit)
        refusals.append(str(refusal.value).split(";")[0])
    assert refusals[0] == refusals[1]


def test_an_empty_split_is_refused(scenario):
    empty = SimpleNamespace(
        splits=("train",),
        image_shape=(4, 4, 1),
        num_classes=3,
        load=lambda _: scenario.load("train").take(0),
    )
    with pytest.raises(DataError, match="split 'train' holds no images"):
        spooled(empty, "train")


def test_nothing_lies_where_temporary_files_lie_and_the_room_returns(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images = spool([np.ones((10, 4, 4, 1), np.float32)], (4, 4, 1))
    assert not list(tmp_path.iterdir())
    assert images.sum() == 160
    del images
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_too_small_a_disk_is_told_before_anything_is_written(scenario, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**5))
    monkeypatch.setattr(module, "_append", lambda *_: pytest.fail("it writes"))
    with pytest.raises(StoreError, match=r"0\.0 GB of free disk .* set TMPDIR to a folder"):
        spooled(scenario, "train")


def test_a_disk_that_becomes_full_is_told_in_one_line(scenario, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_append", full)
    with pytest.raises(StoreError, match=r"cannot write temporary files in .*: No space left"):
        spooled(scenario, "train")


def test_an_error_of_reading_is_no_error_of_the_disk_that_is_written_to():
    def unreadable():
        yield np.zeros((1, 4, 4, 1), np.float32)
        raise FileNotFoundError("a picture")

    with pytest.raises(FileNotFoundError, match="a picture"):
        spool(unreadable(), (4, 4, 1))


@pytest.mark.parametrize("most", [None, 1, 300])
def test_blocks_hold_every_image_once_in_order_and_never_too_much(most):
    blocks = blocks_of(2000, (224, 224, 3), most=most)
    rows = np.concatenate([np.arange(2000)[rows] for rows in blocks])
    np.testing.assert_array_equal(rows, np.arange(2000))
    assert max(rows.stop - rows.start for rows in blocks) == (most or 891)  # of 602,112 bytes
    assert blocks_of(0, (4, 4, 1)) == []


@pytest.mark.parametrize("at_once", [1, 1 << 30])
def test_rows_are_gathered_in_their_order(scenario, at_once, monkeypatch):
    monkeypatch.setattr(module, "_READ", at_once)
    images, _ = spooled(scenario, "train", 50)
    rows = np.random.default_rng(0).integers(0, 50, 80)
    np.testing.assert_array_equal(gathered(images, rows), np.array(images)[rows])


def test_an_image_that_is_larger_than_a_block_is_a_block():
    assert len(blocks_of(2, (20_000, 20_000, 3))) == 2


def test_what_is_released_is_still_there():
    images = spool([np.full((100, 32, 32, 3), 0.5, np.float32)], (32, 32, 3))
    part = images[20:30]
    release(part)
    assert (images == 0.5).all()
    release(np.zeros(3))  # of memory: stays
