"""Arrays that stay in their file: read a few rows at a time, and checked as they are read."""

import json
import subprocess
import sys

import numpy as np
import pytest

from helpers.support import noise
from tfrobust.data.reading import arrays, arrays_of_rows
from tfrobust.errors import DataError
from tfrobust.files import array_rows
from tfrobust.registry import create
from tfrobust.testing import scenario_checks

checks = pytest.mark.parametrize("check", scenario_checks(), ids=lambda check: check.__name__)


@pytest.fixture
def small_pieces(monkeypatch):
    """Leave every array in its file, and read three images at a time."""
    monkeypatch.setattr(array_rows, "_IN_MEMORY", 0)
    monkeypatch.setattr("tfrobust_scenarios.arrays._CHUNK", 200)


def folder(root, **named):
    root.mkdir()
    for name, array in named.items():
        np.save(root / f"{name}.npy", array)
    return root


@checks
def test_arrays_that_stay_in_the_file_keep_the_contract(check, npz, small_pieces):
    images, labels = noise(0, 80)
    check(create("scenarios", "arrays", path=npz(images=images, labels=labels)))


@checks
def test_a_folder_of_arrays_keeps_the_contract(check, tmp_path, small_pieces):
    images, labels = noise(0, 80)
    path = folder(tmp_path / "adversarial", images=images, labels=labels, clean=images)
    check(create("scenarios", "arrays", path=path))


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("order", ["<f4", ">f4"])
def test_rows_are_those_of_the_array_however_it_lies(tmp_path, small_pieces, by_column, order):
    images, labels = noise(0, 20)
    lying = np.asfortranarray(images) if by_column else images
    path = folder(tmp_path / "a", images=lying.astype(order), labels=labels.astype(np.uint8))
    scenario = create("scenarios", "arrays", path=path)
    some, of = arrays_of_rows(scenario, "test", 7, 18)
    np.testing.assert_array_equal(some, images[7:18])
    np.testing.assert_array_equal(of, labels[7:18])


def test_an_array_that_is_compressed_is_read_whole(tmp_path, small_pieces):
    images, labels = noise(0, 20)
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=labels)
    opened = array_rows.open_arrays(tmp_path / "a.npz")
    assert isinstance(opened["images"], np.ndarray)
    scenario = create("scenarios", "arrays", path=tmp_path / "a.npz")
    np.testing.assert_array_equal(arrays(scenario, "test")[0], images)


def test_rows_that_break_the_contract_are_refused_where_they_lie_and_others_are_read(
    npz, small_pieces
):
    images, labels = noise(0, 20)
    images[13] = np.nan
    scenario = create("scenarios", "arrays", path=npz(images=images, labels=labels))
    np.testing.assert_array_equal(arrays_of_rows(scenario, "test", 0, 12)[0], images[:12])
    with pytest.raises(DataError, match=r"rows 12 to 14: images: .*NaN or infinity in 1 of 3"):
        arrays(scenario, "test")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, small_pieces):
    images, labels = noise(0, 20)
    path = folder(tmp_path / "a", images=images, labels=labels)
    rows = create("scenarios", "arrays", path=path).load("test")
    (path / "images.npy").write_bytes(b"x" * 3000)
    with pytest.raises(DataError, match=r"images.npy: .*it has changed since it was opened"):
        list(_readable(rows))


def test_one_npy_file_is_refused_and_the_advice_works(tmp_path):
    images, labels = noise(0, 6)
    path = folder(tmp_path / "a", images=images, labels=labels)
    with pytest.raises(DataError, match=rf"pass -p arrays.path={path}") as refusal:
        create("scenarios", "arrays", path=path / "images.npy").count("test")
    assert "\n" not in str(refusal.value)
    assert create("scenarios", "arrays", path=path).count("test") == 6


def test_a_folder_without_arrays_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected arrays `images` and `labels`; received: none"):
        create("scenarios", "arrays", path=tmp_path).count("test")


def test_an_npy_that_is_cut_off_or_pickled_is_refused(tmp_path):
    images, labels = noise(0, 6)
    path = folder(tmp_path / "a", images=images, labels=labels)
    whole = (path / "images.npy").read_bytes()
    (path / "images.npy").write_bytes(whole[:-5])
    with pytest.raises(DataError, match=r"not a readable .npy .*its header says another size"):
        create("scenarios", "arrays", path=path).count("test")
    np.save(path / "images.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"pickled objects, .* never loaded"):
        create("scenarios", "arrays", path=path).count("test")


def _readable(dataset):
    from tfrobust.data.reading import readable

    return readable(dataset.as_numpy_iterator())


_READ = """
import json, resource, sys
from tfrobust.registry import create
scenario = create("scenarios", "arrays", path=sys.argv[1])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
peaks, count = [], 0
for batch in scenario.load("test").batch(256):
    count += len(batch["label"])
    peaks.append(peak())
print(json.dumps([count, peaks[3], peaks[-1]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_six_hundred_megabytes_are_read_in_flat_memory(tmp_path, kind):
    images, labels = np.full((12_000, 64, 64, 3), 0.5, np.float32), np.arange(12_000) % 7
    if kind == "npz":
        path = tmp_path / "a.npz"
        np.savez(path, images=images, labels=labels)
    else:
        path = folder(tmp_path / "a", images=images, labels=labels)
    command = [sys.executable, "-c", _READ, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    count, early, late = json.loads(ran.stdout.splitlines()[-1])
    assert count == 12_000
    assert late < early + 100, f"{early:.0f} MB after 1,024 images, {late:.0f} MB after all"
