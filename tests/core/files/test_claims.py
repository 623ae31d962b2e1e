"""Of two writers, the second takes the next number or is refused in one line."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.support import InMemory, small_classifier
from tfrobust import pipeline, store
from tfrobust.classifiers.saved_model import classifier
from tfrobust.errors import StoreError
from tfrobust.files import leftovers
from tfrobust.files.atomic import atomic_folder
from tfrobust.files.claims import alone
from tfrobust.files.output_folders import output_folder
from tfrobust.pipeline.workspace import occupied
from tfrobust.registry import create
from tfrobust.store import models
from tfrobust.store.new_versions import claimed_version
from tfrobust.training.trainer import Trainer, TrainingOptions

HOLDER = """
import sys, time
from pathlib import Path
from tfrobust.files.claims import alone
with alone(Path(sys.argv[1]), "busy; wait"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """A process that holds a claim."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TFROBUST": ""},
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_claim_of_another_process_is_refused_and_one_of_a_killed_process_is_not(tmp_path, other):
    with (
        pytest.raises(StoreError, match=rf"^busy \(process {other.pid} on .*\); wait$"),
        alone(tmp_path / "lock", "busy; wait"),
    ):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "lock").exists()
    with alone(tmp_path / "lock", "busy; wait"):
        pass
    assert not any(tmp_path.iterdir())


def test_two_runs_do_not_share_a_folder(tmp_path):
    with (
        output_folder(tmp_path / "run"),
        pytest.raises(StoreError, match=r"run: another run is writing to it .*; .*another --out"),
        output_folder(tmp_path / "run", force=True),
    ):
        pass
    assert not (tmp_path / "run").exists()
    with output_folder(tmp_path / "run"):
        pass


def test_versions_that_are_made_at_the_same_time_get_different_numbers(tmp_path):
    (tmp_path / "d1" / "4").mkdir(parents=True)
    with (
        claimed_version(tmp_path / "d1") as first,
        claimed_version(tmp_path / "d1") as second,
        claimed_version(tmp_path / "d1", 9) as chosen,
    ):
        assert [folder.name for folder in (first, second, chosen)] == ["5", "6", "9"]
        refusal = r"d1/9: another process is writing it .*; choose another version"
        with pytest.raises(StoreError, match=refusal), claimed_version(tmp_path / "d1", 9):
            pass
    assert [path.name for path in (tmp_path / "d1").iterdir()] == ["4"]


def test_a_folder_for_a_version_that_is_not_written_does_not_stay(tmp_path):
    with claimed_version(tmp_path / "served" / "d1"):
        pass
    assert not any(tmp_path.iterdir())


def test_the_claim_of_a_process_that_was_killed_after_it_wrote_its_version_is_removed(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / ".tfrobust-1.lock").touch()
    with claimed_version(tmp_path) as first, claimed_version(tmp_path) as second:
        assert [first.name, second.name] == ["2", "3"]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_version_that_another_process_wrote_meanwhile_is_not_replaced(tmp_path):
    place = tmp_path / "d1" / "1"

    def both():
        with atomic_folder(place, new=True) as temporary:
            (temporary / "second").touch()
            place.mkdir(parents=True)
            (place / "first").touch()

    with pytest.raises(StoreError, match=r"d1/1: exists already and is never overwritten"):
        both()
    assert [path.name for path in place.parent.rglob("*")] == ["1", "first"]


def test_a_second_export_loses_no_work(tmp_path, monkeypatch):
    place, write = tmp_path / "d1" / "1", classifier.write_saved_model

    def overtaken(*given):
        place.mkdir()
        (place / "x").touch()
        write(*given)

    monkeypatch.setattr(models, "write_saved_model", overtaken)
    with pytest.raises(StoreError, match=r"exists already and is never overwritten"):
        store.export(small_classifier(), place)
    assert [path.name for path in place.iterdir()] == ["x"]


def train(root, **how):
    trainer = Trainer(TrainingOptions(epochs=1, batch_size=12))
    linear = create("models", "linear")
    return pipeline.train_and_store(linear, InMemory(images=24), "m1", trainer, root=root, **how)


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"force": True}], ids=str)
def test_a_name_is_trained_by_one_process_at_a_time(how, tmp_path):
    with (
        occupied(tmp_path / "m1"),
        pytest.raises(StoreError, match=r"another training of m1 is at work .*another --name"),
    ):
        train(tmp_path, **how)
    assert not any(tmp_path.iterdir())
    assert train(tmp_path, **how).folder.name == "1"


def test_a_training_removes_leftovers_from_the_whole_store(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / "m2" / f".tfrobust-{leftovers._host()}.{process.pid}.1-abcdefgh"
    left.mkdir(parents=True)
    with occupied(tmp_path / "m1"):
        assert not left.exists()


def crowd(folder, places):
    """Make a version at the same time as the others."""
    while not (folder / "go").exists():
        time.sleep(0.001)
    with claimed_version(folder) as place, atomic_folder(place, new=True) as temporary:
        (temporary / str(os.getpid())).touch()
        time.sleep(0.01)
    places.put(place.name)


def test_eight_processes_that_make_versions_at_the_same_time_make_eight(tmp_path):
    context = multiprocessing.get_context("fork")
    places = context.SimpleQueue()
    crowded = [context.Process(target=crowd, args=(tmp_path, places)) for _ in range(8)]
    for process in crowded:
        process.start()
    (tmp_path / "go").touch()
    for process in crowded:
        process.join(30)
    numbers = sorted(places.get() for _ in crowded)
    assert len(set(numbers)) == 8
    for number in numbers:
        assert len(list((tmp_path / number).iterdir())) == 1
    assert len(list(tmp_path.iterdir())) == 9
