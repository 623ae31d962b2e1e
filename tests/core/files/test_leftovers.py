"""The next process removes the files of a killed one, but not those of a living one."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.killing import every_step
from tfrobust.files import leftovers
from tfrobust.files.arrays import write_arrays
from tfrobust.files.atomic import atomic_folder, atomic_write
from tfrobust.files.leftovers import (
    remove_folder,
    scratch_folder,
    sweep,
    temporary_file,
    temporary_folder,
)


@pytest.fixture
def dead():
    """The number of a process that has ended."""
    return subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def name(*, host=None, process=None, start="1"):
    return f".tfrobust-{host or leftovers._host()}.{process or os.getpid()}.{start}-abcdefgh"


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_files_of_a_dead_process_are_removed(tmp_path, dead):
    (tmp_path / name(process=dead)).touch()
    (tmp_path / f"{name(process=dead)}.npz").touch()
    (tmp_path / name(process=dead, start="2")).mkdir()
    (tmp_path / name(process=dead, start="2") / "half").touch()
    (tmp_path / "theirs").touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_files_of_an_earlier_process_of_the_same_number_are_removed(tmp_path):
    (tmp_path / name(start="1")).touch()
    sweep(tmp_path)
    assert not any(tmp_path.iterdir())


def test_files_that_are_being_written_stay(tmp_path):
    fresh = {temporary_file(tmp_path, ".npz"), temporary_folder(tmp_path)}
    for path in fresh:
        aged(path, 1e6)
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == fresh


@pytest.mark.parametrize(
    "called", [name(host="0" * 8), ".tfrobust-abcd_123.json"], ids=["elsewhere", "older"]
)
def test_files_of_unknown_processes_stay_for_a_day(called, tmp_path):
    path = tmp_path / called
    path.touch()
    aged(path, 80_000)
    sweep(tmp_path)
    assert path.exists()
    aged(path, 90_000)
    sweep(tmp_path)
    assert not path.exists()


def test_another_users_leftovers_stay(tmp_path, dead, monkeypatch):
    (tmp_path / name(process=dead)).touch()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    sweep(tmp_path)
    assert any(tmp_path.iterdir())


@pytest.mark.parametrize("called", [".tfrobust-partial", ".tfrobust-lock", ".tfrobust-7.lock"])
def test_the_work_of_an_interrupted_run_is_no_leftover(called, tmp_path):
    (tmp_path / called).mkdir()
    aged(tmp_path / called, 1e7)
    sweep(tmp_path)
    assert (tmp_path / called).exists()


def test_a_link_is_removed_and_not_followed(tmp_path, dead):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / name(process=dead)).symlink_to(tmp_path / "precious")
    sweep(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["precious", "file"]


def test_every_writer_removes_leftovers_first(tmp_path, dead):
    for write in (
        lambda: atomic_write(tmp_path / "a", lambda path: path.write_text("a")),
        lambda: write_arrays(tmp_path / "b.npz", {}),
        lambda: atomic_folder(tmp_path / "c").__enter__(),
    ):
        (tmp_path / name(process=dead)).touch()
        write()
        assert not (tmp_path / name(process=dead)).exists()


def test_scratch_folders_of_dead_processes_are_removed(tmp_path, dead, monkeypatch):
    monkeypatch.setattr(leftovers.tempfile, "tempdir", str(tmp_path))
    (tmp_path / name(process=dead)).mkdir()
    with scratch_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert not any(tmp_path.iterdir())


def write(folder, content):
    with atomic_folder(folder) as temporary:
        (temporary / "one").write_text(content)
        (temporary / "two").write_text(content)


def test_a_folder_is_the_old_or_the_new_one_wherever_its_replacement_is_killed(tmp_path):
    home = tmp_path / "home"
    seen = set()

    def after():
        sweep(home)
        content = {(home / "run" / file).read_text() for file in ("one", "two")}
        assert len(content) == 1
        assert [path.name for path in home.iterdir()] == ["run"]
        seen.update(content)

    steps = every_step(
        work=lambda: write(home / "run", "new"),
        before=lambda: write(home / "run", "old"),
        after=after,
    )
    assert seen == {"old", "new"}
    assert steps > 8


def test_a_folder_whose_replacement_is_interrupted_is_restored_at_once(tmp_path, monkeypatch):
    write(tmp_path / "run", "old")
    replace = Path.replace

    def interrupted(path, target):
        if target == tmp_path / "run" and path.name != "it":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "run", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "one").read_text() == "old"


def test_a_folder_is_whole_or_gone_wherever_its_removal_is_killed(tmp_path):
    def after():
        sweep(tmp_path)
        left = {path.name for path in tmp_path.rglob("*")}
        assert left in (set(), {"run", "one", "two"})

    every_step(
        work=lambda: remove_folder(tmp_path / "run"),
        before=lambda: write(tmp_path / "run", "old"),
        after=after,
    )
    assert not any(tmp_path.iterdir())
