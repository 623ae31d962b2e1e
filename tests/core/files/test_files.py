"""No half-written file stays behind."""

import ast

import pytest

from helpers.support import REPO, InMemory
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, StoreError
from tfrobust.files.atomic import atomic_folder, atomic_write
from tfrobust.files.output_folders import output_folder

FULL = OSError(28, "No space left on device")


def fail_after(file):
    """Write a file, and fail because the disk is full."""
    file.touch()
    raise FULL


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")

    def half(temporary):
        temporary.write_text("ha")
        raise FULL

    with pytest.raises(StoreError, match=r"cannot write .*results.json: No space left on device"):
        atomic_write(path, half)
    assert path.read_text() == "old"
    atomic_write(path, lambda temporary: temporary.write_text("new"))
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]
    assert path.read_text() == "new"


def test_a_folder_is_replaced_only_by_a_whole_one(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(StoreError, match=r"No space left"), atomic_folder(path) as temporary:
        fail_after(temporary / "half")
    assert [p.name for p in path.iterdir()] == ["old"]
    with atomic_folder(path) as temporary:
        (temporary / "new").touch()
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_bug_keeps_its_traceback(tmp_path):
    def bug(temporary):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        atomic_write(tmp_path / "x", bug)
    assert not any(tmp_path.iterdir())


def test_an_out_folder_with_other_things_in_it_is_refused_without_force(tmp_path):
    (tmp_path / "theirs").write_text("precious")
    with (
        pytest.raises(StoreError, match=r"is not empty; choose another --out, .*--force"),
        output_folder(tmp_path),
    ):
        pass
    with output_folder(tmp_path, force=True) as folder:
        assert folder == tmp_path
    assert (tmp_path / "theirs").read_text() == "precious"
    with (
        pytest.raises(StoreError, match=r"expected a folder; received: a file"),
        output_folder(tmp_path / "theirs"),
    ):
        pass


def test_an_out_folder_without_results_is_removed_again(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(tmp_path / "a" / "out"):
        raise ZeroDivisionError
    assert not (tmp_path / "a" / "out").exists()


def test_a_scenario_with_fewer_classes_than_labels_is_refused():
    class Lying(InMemory):
        """Declares two classes and has three."""

        @property
        def class_names(self):
            return ("a", "b")

    with pytest.raises(DataError, match=r"labels: expected integers from 0 to 1; received: int64"):
        arrays(Lying(images=40), "test")


def test_every_text_is_written_and_read_as_utf_8_whatever_the_locale():
    without_encoding = []
    ours = [
        *REPO.glob("tfrobust/**/*.py"),
        *REPO.glob("cli/**/*.py"),
        *REPO.glob("plugins/**/*.py"),
    ]
    for path in ours:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            named = {keyword.arg for keyword in node.keywords}
            if node.func.attr in {"read_text", "write_text"} and "encoding" not in named:
                without_encoding.append(f"{path.relative_to(REPO)}:{node.lineno}")
    assert not without_encoding
