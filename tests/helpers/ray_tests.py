"""What tests of workers share: Ray, where it is installed, and a cluster of two machines."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfrobust.execution.ray_cluster import imported_ray

TESTS = Path(__file__).resolve().parent.parent
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (the extra `ray`)"
)


@pytest.fixture
def helpers_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers find the helpers."""
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def two_machines(helpers_found: None) -> Iterator[str]:
    """Yield the address of a cluster of two machines, which are processes here."""
    imported_ray()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    try:
        yield cluster.address
    finally:
        cluster.shutdown()
