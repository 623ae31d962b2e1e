"""What is problem of a machine that differs from this process."""

import copy

import pytest

from tfrobust.errors import UsageError, WorkerError
from tfrobust.execution import ray_cluster
from tfrobust.execution.agreement import disagreements, facts_here
from tfrobust.execution.settings import WorkerSettings


def test_a_machine_agrees_with_itself():
    assert disagreements(facts_here(), facts_here()) == []


def test_this_process_finds_its_versions_and_plugins():
    facts = facts_here(__file__)

    assert facts["versions"]["tfrobust"]
    assert facts["plugins"]["attacks/pgd"].startswith("tfrobust ")
    assert facts["sees"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda there: there["versions"].update(tensorflow="1.15"), "tensorflow 1.15 (here "),
        (lambda there: there["versions"].update(keras=""), "keras is missing (here "),
        (lambda there: there["plugins"].pop("attacks/pgd"), "plugin attacks/pgd is not installed"),
        (lambda there: there["plugins"].update({"attacks/pgd": "other 2"}), "other 2 (here tfro"),
    ],
)
def test_each_difference_is_named(change, line):
    there = copy.deepcopy(facts_here())
    change(there)

    (problem,) = disagreements(facts_here(), there)
    assert line in problem


def test_a_plugin_that_only_the_worker_has_is_no_matter():
    there = copy.deepcopy(facts_here())
    there["plugins"]["attacks/more"] = "more 1"

    assert disagreements(facts_here(), there) == []


@pytest.mark.parametrize("address", ["nonsense", "host:", ":1", "host:port", "ray://"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="--ray: expected HOST:PORT"):
        ray_cluster.check_address(address)


def test_an_address_where_nothing_answers_is_refused_at_once():
    with pytest.raises(WorkerError, match=r"nothing answers at 127\.0\.0\.1:9 "):
        ray_cluster.check_address("127.0.0.1:9")


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(ray_cluster.importlib, "import_module", missing)
    with pytest.raises(UsageError, match=r'pip install "tfrobust\[ray\]"'):
        ray_cluster.imported_ray()


@pytest.mark.parametrize(
    ("given", "threads"),
    [
        ({"workers": 2}, 4),
        ({"workers": 3}, 2),
        ({"workers": 20}, 1),
        ({"workers": 2, "cpus_per_worker": 3}, 3),
        ({"address": "auto"}, 1),
    ],
)
def test_workers_of_this_machine_share_its_cores(given, threads, monkeypatch):
    monkeypatch.setattr("tfrobust.execution.settings.usable_cores", lambda: 8)

    assert WorkerSettings(**given).threads == threads


@pytest.mark.parametrize("given", [{}, {"workers": 0}, {"workers": 1, "cpus_per_worker": 0}])
def test_numbers_of_workers_out_of_range_are_refused(given):
    with pytest.raises(UsageError, match="expected"):
        WorkerSettings(**given)
