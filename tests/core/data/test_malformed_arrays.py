"""Arrays and archives from anywhere are checked before they are unpacked, and cost one line."""

import zipfile

import numpy as np
import pytest

from helpers.support import noise, refused, small_classifier
from tfrobust import store
from tfrobust.engine.learning import learned, read_learned
from tfrobust.errors import ClassifierError, StoreError, UsageError
from tfrobust.files.arrays import read_arrays
from tfrobust.registry import create


@pytest.fixture(scope="module")
def held(tmp_path_factory):
    """The contents of a file of a learned perturbation."""
    file = tmp_path_factory.mktemp("learned") / "u.npz"
    learned(
        create("attacks", "uap", eps=0.2, passes=1, file=file), small_classifier(), *noise(0, 8)
    )
    return read_arrays(file)


@pytest.fixture
def uap(tmp_path, held):
    """A function that changes the contents of that file, and returns the attack that reads it."""
    attack = create("attacks", "uap", eps=0.2, passes=1, file=tmp_path / "u.npz")
    np.savez(attack.file, **held)

    def change(**arrays):
        np.savez(attack.file, **(held | arrays))
        return attack

    return change


@pytest.mark.parametrize(
    "arrays",
    [
        {"learned_for": np.array("[1]")},
        {"learned_for": np.array("[" * 100_000)},
        {"learned_for": np.array([1, 2])},
        {"learned_for": np.array('{"attack": "uap", "gradients": -160}')},
        {"learned_on": np.array("x")},
        {"learned_on": np.zeros((8, 3), np.int64)},
        {"perturbation": np.full((4, 4, 1), np.nan, np.float32)},
        {"perturbation": np.full((4, 4, 1), "a")},
    ],
    ids=range(8),
)
def test_a_learned_file_of_something_else_costs_one_line(arrays, uap):
    refused(UsageError, lambda: read_learned(uap(**arrays)), "u.npz", "name another file")


def _bomb(path, *, gigabytes=3, name="a.npy"):
    """Write an archive that declares gigabytes of zeros; a real one would take seconds."""
    header = b"\x93NUMPY\x01\x00v\x00"
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({gigabytes * 10**9},), }}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, header + text.ljust(117).encode() + b"\n" + bytes(10**6))
    content = bytearray(path.read_bytes())
    # The sizes that both headers declare, in bytes.
    small, large = (n.to_bytes(4, "little") for n in (10**6 + 128, gigabytes * 10**9 + 128))
    assert content.count(small) == 2
    path.write_bytes(content.replace(small, large))
    return path


def test_a_zip_bomb_is_refused_before_a_byte_is_unpacked_and_the_way_out_works(
    tmp_path, monkeypatch
):
    path = _bomb(tmp_path / "a.npz")
    refused(StoreError, lambda: read_arrays(path), "3.0 GB", "zip bomb", "TFROBUST_UNPACK_LIMIT=4")
    monkeypatch.setenv("TFROBUST_UNPACK_LIMIT", "4")
    refused(StoreError, lambda: read_arrays(path), "not a readable .npz")  # there are no 3 GB in it


def test_a_keras_file_that_is_a_zip_bomb_is_refused(tmp_path):
    path = _bomb(tmp_path / "m.keras", name="config.json")
    refused(ClassifierError, lambda: store.load(path), "zip bomb", "TFROBUST_UNPACK_LIMIT=4")


def test_a_small_archive_that_compresses_well_is_no_bomb(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10**7))
    assert read_arrays(tmp_path / "a.npz")["a"].shape == (10**7,)


HEADERS = {
    "of a huge shape": "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }",
    "of a shape below zero": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }",
    "of objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
    "of nothing": "{}",
    "of code": "__import__('os').system('true')",
    "too deep": "(" * 5000,
}


@pytest.mark.parametrize("header", HEADERS)
def test_an_array_with_a_false_header_costs_one_line_and_no_memory(header, tmp_path):
    text = HEADERS[header].encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        length = len(text).to_bytes(2, "little")
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + length + text + bytes(8))
    refused(StoreError, lambda: read_arrays(tmp_path / "a.npz"), "not a readable .npz")


KINDS = {
    "scalars": np.array(3), "text": np.array(["a", "bb"]), "nothing": np.zeros((0, 3)),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "flags": np.array([True]),
    "other bytes": np.arange(3, dtype=">i4"), "an empty text": np.array(""),
}  # fmt: skip


@pytest.mark.parametrize("compressed", [True, False])
def test_arrays_come_back_as_they_were(compressed, tmp_path):
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", **KINDS)
    arrays = read_arrays(tmp_path / "a.npz")
    assert list(arrays) == list(KINDS)
    for name, array in KINDS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)
