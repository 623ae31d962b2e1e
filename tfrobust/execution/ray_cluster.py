"""The Ray cluster that workers run on: started on this machine, or connected to.

Ray is imported when a cluster is opened, since it is an extra: `pip install "tfrobust[ray]"`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import logging
import os
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from tfrobust.errors import UsageError, WorkerError, one_line
from tfrobust.execution.places import places
from tfrobust.execution.settings import WorkerSettings

_PATIENCE = 12  # seconds that an address may take to answer
_AUTO = "auto"
# Ray tells its makers what it is used for, opens a web page and warns of a coming change otherwise.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_PROMPT_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}


@dataclasses.dataclass(frozen=True)
class Node:
    """A machine of a cluster.

    Attributes:
        key: Ray's name of it.
        host: its address.
    """

    key: str
    host: str


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        settings: what the user asked for.
        workers: how many of them there is room for.
        gpus_per_worker: 1 or less; 0 where there is no GPU.
        local: whether this process started it, on this machine.
        nodes: its machines.
    """

    settings: WorkerSettings
    workers: int
    gpus_per_worker: float
    local: bool
    nodes: tuple[Node, ...]

    @property
    def where(self) -> str:
        """The cluster's name in messages."""
        return "this machine" if self.local else str(self.settings.address or "the cluster")


def imported_ray() -> Any:
    """Return the module Ray, which says nothing on its own.

    Raises:
        UsageError: it is not installed.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray = importlib.import_module("ray")
    except ImportError as error:
        raise UsageError(
            "--workers, --ray: Ray is not installed, or does not import "
            f'({one_line(error)}); run: pip install "tfrobust[ray]"'
        ) from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextlib.contextmanager
def connected(settings: WorkerSettings) -> Iterator[Cluster]:
    """Yield a cluster: started here and shut down at the end, or one that goes on.

    A cluster that this process is connected to already, as a notebook may be, is used and left
    alone.

    Args:
        settings: how many workers, and where.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        WorkerError: nothing answers at the address, or the cluster has no room for a worker.
    """
    ray = imported_ray()
    if ray.is_initialized():
        yield _described(ray, settings, local=False)
        return
    local = settings.address is None
    try:
        if local:
            _start(ray, settings)
        else:
            _connect(ray, str(settings.address))
        yield _described(ray, settings, local=local)
    finally:
        ray.shutdown()


def _start(ray: Any, settings: WorkerSettings) -> None:
    workers = settings.workers or 1
    with _ray_errors("this machine"):
        ray.init(
            address="local",
            num_cpus=workers * settings.threads,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )


def _connect(ray: Any, address: str) -> None:
    check_address(address)
    if address != _AUTO and not address.startswith("ray://"):
        _check_healthy(address)
    with _ray_errors(address):
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)


def check_workers(settings: WorkerSettings) -> None:
    """Refuse what cannot work before TensorFlow is started, which takes seconds.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        WorkerError: nothing answers at the address.
    """
    imported_ray()
    if settings.address is not None:
        check_address(settings.address)


def check_address(address: str) -> None:
    """Refuse an address at which nothing answers; Ray itself would try for minutes.

    Raises:
        UsageError: it is no address.
        WorkerError: nothing answers.
    """
    if address == _AUTO:
        return
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (host and colon and port.isdecimal()):
        raise UsageError(f"--ray: expected HOST:PORT, ray://HOST:PORT or auto; received: {address}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE / 2).close()
    except (OSError, OverflowError) as error:
        raise WorkerError(
            f"--ray: nothing answers at {address} ({one_line(error)}); `ray status` on the "
            "cluster's head shows its address"
        ) from error


def _check_healthy(address: str) -> None:
    """Refuse an address at which something else than Ray answers.

    Raises:
        WorkerError: it is no cluster of this version.
    """
    ask = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        healthy = subprocess.run(  # noqa: S603 (our own interpreter, and no shell)
            ask, capture_output=True, timeout=_PATIENCE, check=False
        )
        refused = healthy.returncode != 0
    except subprocess.TimeoutExpired:
        refused = True
    if refused:
        raise WorkerError(
            f"--ray: what answers at {address} is no Ray cluster that this Ray can use; check the "
            "port, Ray's version and RAY_AUTH_TOKEN"
        )


@contextlib.contextmanager
def _ray_errors(where: str) -> Iterator[None]:
    """Turn what Ray raises into one line."""
    try:
        yield
    except (RuntimeError, OSError, ValueError, TimeoutError) as error:  # ConnectionError is OSError
        raise WorkerError(f"Ray on {where}: {one_line(error)}") from error


def _described(ray: Any, settings: WorkerSettings, *, local: bool) -> Cluster:
    """Return what the cluster has room for.

    Raises:
        WorkerError: it has no room for a worker.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    machines = [
        (int(node["Resources"].get("CPU", 0)), int(node["Resources"].get("GPU", 0)))
        for node in nodes
    ]
    workers, gpus_per_worker = places(machines, settings)
    return Cluster(
        settings,
        workers,
        gpus_per_worker=gpus_per_worker,
        local=local,
        nodes=tuple(Node(node["NodeID"], node["NodeManagerAddress"]) for node in nodes),
    )
