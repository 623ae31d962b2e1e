"""Trainings through Ray Train: what is refused before they start, and whose lines are shown."""

import contextlib
import time
from types import SimpleNamespace

import pytest

from tfrobust.errors import UsageError, WorkerError
from tfrobust.execution import ray_training
from tfrobust.execution.ray_cluster import Cluster
from tfrobust.execution.ray_training import check_gpus, followed, train_on_ray
from tfrobust.execution.settings import WorkerSettings


def cluster(workers: int, gpus_per_worker: float) -> Cluster:
    settings = WorkerSettings(workers=workers)
    return Cluster(settings, workers, gpus_per_worker, local=True, nodes=())


def test_workers_that_would_share_a_gpu_are_refused():
    with pytest.raises(UsageError, match=r"4 workers, of which this machine would let 2 share"):
        check_gpus(cluster(4, 0.5))


@pytest.mark.parametrize("gpus_per_worker", [0.0, 1.0])
def test_workers_with_a_gpu_each_or_none_train(gpus_per_worker):
    check_gpus(cluster(2, gpus_per_worker))


def test_a_line_that_is_half_written_is_shown_once_it_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("tfrobust.execution.ray_training._TICK", 0.01)
    path, lines = tmp_path / "worker.err", list[str]()
    text = "epoch 1 … 10 s\nepoch 2\nlast".encode()
    middle = text.index("…".encode()) + 1  # within a character

    with followed(path, lines.append):
        for end in (middle, len(text)):
            path.write_bytes(text[:end])
            time.sleep(0.2)
        assert lines == ["epoch 1 … 10 s", "epoch 2"]

    assert lines == ["epoch 1 … 10 s", "epoch 2", "last"]


class DiedError(Exception):
    """What Ray Train raises when a worker dies."""


@pytest.mark.parametrize(
    ("begun", "again"),
    [(False, ["train", "linear", "--force"]), (True, ["train", "linear", "--resume"])],
    ids=["nothing was begun", "an epoch is kept"],
)
def test_force_stays_until_the_training_has_begun(begun, again, tmp_path, monkeypatch):
    started = []

    def trainer(train, cluster, loop, config, storage):
        started.append(config["arguments"])
        return SimpleNamespace(fit=dies)

    def dies():
        raise DiedError("a worker was killed")

    monkeypatch.setattr(ray_training, "imported_ray", lambda: None)
    monkeypatch.setattr(
        ray_training, "_ray_train", lambda: SimpleNamespace(TrainingFailedError=DiedError)
    )
    monkeypatch.setattr(
        ray_training, "connected", lambda settings: contextlib.nullcontext(cluster(2, 0.0))
    )
    monkeypatch.setattr(ray_training, "check_agreement", lambda cluster, shared: None)
    monkeypatch.setattr(ray_training, "_trainer", trainer)
    arguments = ["train", "linear", "--force"]

    with pytest.raises(WorkerError, match="workers died 3 times"):
        train_on_ray(
            lambda _: None,
            arguments,
            WorkerSettings(workers=2),
            tmp_path,
            begun=lambda: begun,
        )

    assert started == [arguments, again, again]
