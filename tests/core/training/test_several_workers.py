"""Two processes train as one does: the same weights, and one of them writes."""

import signal
import time

import numpy as np
import pytest
import tensorflow as tf

from helpers import worker_trainings
from helpers.several_workers import COMMAND, ended, start, succeeded
from helpers.support import small_model
from tfrobust import store
from tfrobust.files.leftovers import PREFIX

WORKER = "import sys; from helpers.worker_trainings import main; main(*sys.argv[1:])"
EQUAL = 1e-5
# On several devices each attacks a part of its own share of the batch: another choice of images;
# and each normalises its own share.
_ITS_OWN_PART = {"adversarial_retraining", "ensemble_training", "calibrater"}


def of_workers(folder, *ways):
    """Return the weights that two workers end at, by the way of training."""
    folder.mkdir(exist_ok=True)
    small_model().save(folder / worker_trainings.OTHER)
    succeeded(start(WORKER, folder, *ways))
    weights = {}
    for way in ways:
        with np.load(folder / f"{way}.npz") as file:
            weights[way] = [file[name] for name in file.files]
    return weights


def apart(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


def test_two_workers_end_where_one_process_with_the_same_batches_does(tmp_path):
    """After twenty steps, of which every fifth batch is followed by a validation."""
    together = of_workers(tmp_path / "workers", "plain")["plain"]
    alone = worker_trainings.trained(tmp_path, "plain", tf.distribute.get_strategy())
    assert apart(alone, together) <= EQUAL


@pytest.mark.slow
def test_every_defence_that_trains_does_so_on_two_workers_as_in_one_process(tmp_path):
    ways = [way for way in worker_trainings.DEFENSES if way != "plain"]
    together = of_workers(tmp_path / "workers", *ways)
    for way in ways:
        alone = worker_trainings.trained(tmp_path / "workers", way, tf.distribute.get_strategy())
        assert way in _ITS_OWN_PART or apart(alone, together[way]) <= EQUAL, way


@pytest.mark.slow
def test_two_runs_of_two_workers_end_at_the_same_weights_bit_for_bit(tmp_path):
    ways = ["plain", "pgd_training", "free_training"]
    runs = [of_workers(tmp_path / name, *ways) for name in ("first", "second")]
    for way in ways:
        first, second = (run[way] for run in runs)
        assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), way


TRAIN = (
    "train fully_connected --scenario digits --batch-size 64 --name m --strategy multiworker "
    "--defense free_training -p replays=2 -p pgd_steps=2"
)


def command(folder, *more, **environment):
    """Start `tfrobust train` on two workers with one store."""
    return start(COMMAND, *TRAIN.split(), *more, **{"TFROBUST_MODELS": folder, **environment})


def stored(folder):
    """Return the weights of the stored network, after a look for what should not be left."""
    assert store.versions(folder / "m") == [1]
    left = {path.name for path in folder.rglob("*")}
    assert not any(name.startswith((PREFIX, "stage-", "workers-")) for name in left), left
    return store.load(folder / "m.training" / "model.keras").model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_after_a_killed_worker_both_are_started_again_and_end_where_nobody_was_killed(
    victim, tmp_path
):
    """The perturbations of free training are each worker's own, and in the chief's checkpoint."""
    epochs = ("--epochs", "40")
    (chief, other) = succeeded(command(tmp_path / "whole", *epochs))
    assert str(tmp_path / "whole" / "m" / "1") in chief
    assert other == ""
    workers = command(tmp_path / "killed", *epochs)
    checkpoint = tmp_path / "killed" / "m.unfinished" / "stage-1" / "checkpoint"
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.05)
    workers[victim].send_signal(signal.SIGKILL)
    outcomes = ended(workers)
    assert outcomes[victim][0] == -signal.SIGKILL
    code, _, lines = outcomes[1 - victim]
    assert code == 1
    assert len(lines) == 1
    assert f"worker {1 - victim} of 2" in lines[0]
    assert "another worker ended" in lines[0]
    assert "--resume" in lines[0]
    succeeded(command(tmp_path / "killed", *epochs, "--resume"))
    whole, resumed = stored(tmp_path / "whole"), stored(tmp_path / "killed")
    assert all(np.array_equal(a, b) for a, b in zip(whole, resumed, strict=True))


@pytest.mark.slow
def test_a_terminated_worker_loses_no_finished_epoch(tmp_path):
    """As a scheduler does that wants the machine for another: SIGTERM, to one of them or to all."""
    workers = command(tmp_path, "--epochs", "400")
    checkpoint = tmp_path / "m.unfinished" / "stage-1" / "checkpoint"
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.05)
    workers[1].send_signal(signal.SIGTERM)
    (kept, _, first), (code, _, lines) = ended(workers)
    assert (kept, code) == (1, 130), (first, lines)
    assert "--resume goes on from what is finished" in lines[0]
    assert checkpoint.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": ["1", "2"]}, "training.epochs: 1 on worker 0, 2 on worker 1"),
        ({"TFROBUST_MODELS": ["one", "two"]}, "is another folder than the chief's"),
    ],
    ids=["options", "store"],
)
def test_workers_that_differ_are_refused_in_one_line_each(changed, words, tmp_path):
    epochs = changed.pop("epochs", "1")
    folders = {name: [tmp_path / folder for folder in where] for name, where in changed.items()}
    for code, _, lines in ended(command(tmp_path, "--epochs", epochs, **folders)):
        assert code in {1, 2}
        assert len(lines) == 1
        assert words in lines[0]
