"""Workers for which there is room, on machines with and without GPUs."""

import pytest

from tfrobust.errors import WorkerError
from tfrobust.execution.places import places
from tfrobust.execution.settings import WorkerSettings


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        ([(8, 0)], 3, (3, 0.0)),
        ([(8, 2)], 2, (2, 1.0)),
        ([(8, 2)], 3, (3, 0.5)),
        ([(8, 3)], 5, (5, 0.5)),
        ([(16, 8)], 12, (12, 0.5)),
        ([(64, 1)], 7, (7, 0.1428)),
        ([(8, 2), (8, 0)], None, (2, 1.0)),
        ([(8, 2)], 1, (1, 1.0)),
    ],
)
def test_every_worker_has_a_place_on_a_gpu(machines, workers, expected):
    settings = WorkerSettings(workers=workers, address="auto", cpus_per_worker=1)

    count, part = places(machines, settings)

    assert (count, part) == expected
    if part:
        assert sum(int(gpus) * int(1 / part) for _, gpus in machines) >= count


def test_a_gpu_without_cores_is_no_place():
    settings = WorkerSettings(workers=2, address="auto", cpus_per_worker=4)

    with pytest.raises(WorkerError, match=r"no room for 2 of 4 CPUs.* 4 CPUs and 1 GPUs, 2 CPUs"):
        places([(4, 1), (2, 1)], settings)
