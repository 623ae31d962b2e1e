"""Options of workers: what is refused before TensorFlow starts, and what a worker is told."""

import pytest

from tfrobust.errors import RobustError, UsageError
from tfrobust.execution import ray_cluster
from tfrobust_cli.options.worker import as_worker, spread

TRAIN = ("train", "lenet")


@pytest.mark.parametrize(
    "own",
    [
        ("--train-workers", "2"),
        ("--train-workers=2",),
        ("--ray", "head:6379", "--cpus-per-worker", "3"),
        ("--train-workers", "2", "--strategy", "multiworker"),
        ("--strategy=multiworker", "--train-workers", "2"),
    ],
)
def test_a_worker_trains_with_the_others_and_starts_none(own):
    assert as_worker([*TRAIN, *own, "--force"]) == [*TRAIN, "--force", "--strategy", "multiworker"]


@pytest.mark.parametrize("name", ["my-multiworker", "--ray", "--strategy"])
def test_the_value_of_an_option_is_none_of_its_own(name):
    assert as_worker([*TRAIN, "--name", name]) == [
        *TRAIN, "--name", name, "--strategy", "multiworker",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "strategy", [("--strategy", "default", "--name", "my-multiworker"), ("--strategy=mirrored",)]
)
def test_another_strategy_is_refused(strategy):
    with pytest.raises(UsageError, match=r"expected --strategy multiworker, or none; received: "):
        as_worker([*TRAIN, *strategy])


@pytest.mark.parametrize(
    ("address", "problem"),
    [("local", "expected HOST:PORT"), ("127.0.0.1:9", "nothing answers at 127.0.0.1:9")],
)
def test_an_address_is_refused_before_tensorflow_starts(address, problem, monkeypatch):
    monkeypatch.setattr(ray_cluster, "imported_ray", lambda: None)
    with pytest.raises(RobustError, match=problem):
        spread(workers=None, ray=address, cpus_per_worker=None).prepare()
