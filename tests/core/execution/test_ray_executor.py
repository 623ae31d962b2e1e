"""Workers of Ray: results as of one process, deaths, cancelling, machines."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from helpers.jobs import Sums, Variables
from helpers.ray_tests import helpers_found, needs_ray, two_machines  # noqa: F401 (fixtures)
from tfrobust.errors import DataError, StoreError, WorkerError
from tfrobust.execution import agreement, ray_cluster, ray_mapping
from tfrobust.execution.executor import Failed
from tfrobust.execution.ray_executor import ray_workers
from tfrobust.execution.settings import WorkerSettings

pytestmark = [
    needs_ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ONE = WorkerSettings(workers=1, cpus_per_worker=1)
TWO = WorkerSettings(workers=2, cpus_per_worker=1)
ITEMS = list(range(12))


def rows_of(tmp_path: Path, settings: WorkerSettings = TWO, items=ITEMS, log=None, **job):
    lines: list[str] = []
    with ray_workers(settings, tmp_path / "logs", log=log or lines.append) as executor:
        results = dict(executor.map(Sums(tmp_path, **job), items))
    return results, lines


def processes(folder: Path, pattern: str) -> set[int]:
    files = folder.glob(pattern)
    return {int(line.split()[0]) for file in files for line in file.read_text().splitlines()}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[int, bytes]:
    """What one worker computes, of as many threads as each of two."""
    folder = tmp_path_factory.mktemp("expected")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH')}")
        results, _ = rows_of(folder, ONE)
    return results


@pytest.mark.usefixtures("helpers_found")
def test_two_workers_return_what_one_returns_and_share_the_work(tmp_path, expected):
    results, _ = rows_of(tmp_path, seconds=0.5)

    assert results == expected
    assert len(processes(tmp_path, "item-*")) == 2
    assert len(list(tmp_path.glob("start-*"))) == 2
    threads = {line.split()[1] for f in tmp_path.glob("item-*") for line in f.open()}
    assert threads == {"1"}


@pytest.mark.usefixtures("helpers_found")
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(tmp_path, expected):
    lines: list[str] = []
    with ray_workers(ONE, tmp_path / "logs", log=lines.append) as executor:
        results = {}
        for item, rows in executor.map(Sums(tmp_path, seconds=0.1), ITEMS):
            if len(results) == 3:
                os.kill(processes(tmp_path, "start-*").pop(), signal.SIGKILL)
            results[item] = rows

    assert results == expected
    assert any("died" in line for line in lines)
    assert len(list(tmp_path.glob("start-*"))) == 2


@pytest.mark.usefixtures("helpers_found")
def test_an_item_that_kills_three_workers_is_given_up_and_the_rest_goes_on(tmp_path, expected):
    results, lines = rows_of(tmp_path, deadly=(5,), once=False)

    assert isinstance(results.pop(5), Failed)
    assert results == {item: expected[item] for item in ITEMS if item != 5}
    assert len((tmp_path / "item-5").read_text().splitlines()) == 3
    assert any("item 5 kills" in line for line in lines), "the last lines of the dead are shown"


@pytest.mark.usefixtures("helpers_found")
@pytest.mark.parametrize("once", [True, False])
def test_an_item_for_which_memory_is_short_is_tried_again(tmp_path, expected, once):
    results, lines = rows_of(tmp_path, hungry=(5,), once=once)

    if not once:
        failed = results.pop(5)
        assert failed == Failed("3 workers died of it: out of memory: no 40 GB")
    assert results == {item: expected[item] for item in ITEMS if once or item != 5}
    assert any("out of memory" in line for line in lines)


@pytest.mark.usefixtures("helpers_found")
def test_a_mistake_of_the_user_passes_through_and_ends_the_workers(tmp_path):
    with (
        ray_workers(TWO, tmp_path / "logs") as executor,
        pytest.raises(DataError, match=r"^item 3 is refused$"),
    ):
        list(executor.map(Sums(tmp_path, refused=(3,)), ITEMS))
    assert all_gone(processes(tmp_path, "start-*"))


@pytest.mark.usefixtures("helpers_found")
def test_ctrl_c_ends_all_workers(tmp_path, request):
    def interrupt() -> None:
        while not list(tmp_path.glob("item-*")):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell starts background jobs with Ctrl-C ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    threading.Thread(target=interrupt, daemon=True).start()
    with (
        pytest.raises(KeyboardInterrupt),
        ray_workers(TWO, tmp_path / "logs") as executor,
    ):
        list(executor.map(Sums(tmp_path, seconds=30), ITEMS))
    assert all_gone(processes(tmp_path, "start-*"))


def test_two_machines_compute_what_one_computes(tmp_path, two_machines, expected):  # noqa: F811
    settings = WorkerSettings(address=two_machines)
    with ray_workers(settings, tmp_path / "logs", shared=tmp_path) as executor:
        assert dict(executor.map(Sums(tmp_path, seconds=0.3), ITEMS)) == expected
    assert len(processes(tmp_path, "item-*")) == 2


def test_a_worker_without_a_place_has_no_items_and_is_named(
    tmp_path,
    two_machines,  # noqa: F811
    expected,
    monkeypatch,
):
    ray = ray_cluster.imported_ray()
    monkeypatch.setattr(ray_mapping, "_PATIENCE", 1)
    lines: list[str] = []
    settings = WorkerSettings(workers=2, address=two_machines, cpus_per_worker=1)
    with ray_cluster.connected(settings):
        other = ray.remote(num_cpus=1)(lambda: time.sleep(600)).remote()  # another user's work
        time.sleep(2)
        with ray_workers(settings, tmp_path / "logs", log=lines.append) as executor:
            results = dict(executor.map(Sums(tmp_path, seconds=0.3), ITEMS))
        ray.cancel(other, force=True)

    assert results == expected
    assert len(processes(tmp_path, "item-*")) == 1
    assert any(line.startswith("1 of 2 workers have not started") for line in lines)


def test_workers_look_for_data_and_classifiers_where_this_process_does(
    tmp_path,
    two_machines,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))  # after the machines have started
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path / "models"))
    names = ["TFDS_DATA_DIR", "TFROBUST_MODELS"]
    with ray_workers(WorkerSettings(workers=1, address=two_machines), tmp_path / "logs") as workers:
        assert dict(workers.map(Variables(), names)) == {
            "TFDS_DATA_DIR": str(tmp_path / "data"),
            "TFROBUST_MODELS": str(tmp_path / "models"),
        }


def test_workers_that_differ_from_this_process_are_named(tmp_path, two_machines, monkeypatch):  # noqa: F811
    here = agreement.facts_here()
    other = {
        **here,
        "versions": {**here["versions"], "tfrobust": "99.0"},
        "plugins": {**here["plugins"], "attacks/special": "special-attacks 2.0"},
    }
    monkeypatch.setattr(agreement, "facts_here", lambda: other)
    with (
        pytest.raises(WorkerError, match=r"tfrobust .* \(here 99.0\).*attacks/special"),
        ray_workers(WorkerSettings(address=two_machines), tmp_path / "logs"),
    ):
        pass


def test_a_folder_that_is_not_shared_is_refused(tmp_path, two_machines, monkeypatch):  # noqa: F811

    monkeypatch.setattr(agreement.Path, "write_text", lambda *_, **__: 0)
    with (
        pytest.raises(StoreError, match="is not shared with"),
        ray_workers(WorkerSettings(address=two_machines), tmp_path / "logs", shared=tmp_path),
    ):
        pass


def all_gone(ids: set[int], patience: float = 20.0) -> bool:
    """Tell whether processes have ended within a time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if not any(_runs(process) for process in ids):
            return True
        time.sleep(0.2)
    return False


def _runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
