"""The workers of a training, as `TF_CONFIG` names them; checked before TensorFlow starts a server.

    TF_CONFIG='{"cluster": {"worker": ["a:2222", "b:2222"]},
                "task": {"type": "worker", "index": 0}}'

Kubeflow, Ray Train and TensorFlow's own tools set this variable in every process of a training.
Without these checks TensorFlow ends with a traceback, aborts, or waits forever.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import pydantic

from tfrobust.errors import UsageError, did_you_mean, printable
from tfrobust.files.reading import UnreadableError, checked_record

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)
_ADVICE = f"--strategy multiworker needs it in every worker's process, such as {_EXAMPLE}"
_TRAINING_JOBS = ("chief", "worker")  # in the order in which TensorFlow counts their tasks
_ANSWER, _TICK = 1.0, 0.2  # seconds that a worker has to answer; between two questions
_FIRST_NOTE, _NEXT_NOTE = 5.0, 60.0  # seconds until a line names the workers that are missing
_LARGEST_PORT = 65_535


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training, and which of them this process is.

    Attributes:
        addresses: `host:port` of each worker; the first one is the chief.
        index: the place of this process among them.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self.addresses)

    @property
    def port(self) -> int:
        """The port on which this process listens."""
        return int(self.addresses[self.index].rpartition(":")[2])


class _Task(pydantic.BaseModel):
    type: str
    index: Annotated[int, pydantic.Field(ge=0)]  # some schedulers write it as a string


class _Config(pydantic.BaseModel):
    """What `TF_CONFIG` must hold; other entries, such as Kubeflow's `environment`, may be there."""

    cluster: dict[str, list[str]]
    task: _Task


def cluster_from(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Return the workers that `TF_CONFIG` names.

    Args:
        environment: the variables of this process.

    Raises:
        UsageError: the variable is missing or no JSON, lacks the cluster or this task, names a
            worker that is none of the cluster, or an address that is no `host:port`.

    Example:
        >>> cluster_from({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}, '
        ...                            '"task": {"type": "worker", "index": 1}}'}).index
        1
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        raise _refused("expected the addresses of all workers", "nothing")
    try:
        config = checked_record(_Config, text)
    except UnreadableError as error:
        raise UsageError(f"{VARIABLE}: cannot be used ({error}); {_ADVICE}") from error
    for job in config.cluster:
        if job not in _TRAINING_JOBS:
            raise _refused("cluster: expected workers, and maybe a chief", f"a job {job!r}")
    _check_addresses(config.cluster)
    return Cluster(
        tuple(address for job in _TRAINING_JOBS for address in config.cluster.get(job, ())),
        _place(config),
    )


def _place(config: _Config) -> int:
    """Return this process's place among all workers."""
    job, index = config.task.type, config.task.index
    if job not in config.cluster:
        known, hint = ", ".join(config.cluster), did_you_mean(job, config.cluster)
        raise _refused(f"task.type: expected one of {known}", f"{job!r}{hint}")
    tasks = len(config.cluster[job])
    if index >= tasks:
        raise _refused(f"task.index: expected less than {tasks}, the number of {job}s", f"{index}")
    before = len(config.cluster.get("chief", ())) if job == "worker" else 0
    return before + index


def _check_addresses(cluster: Mapping[str, list[str]]) -> None:
    """Refuse a cluster without workers, addresses that are none, and one that stands twice."""
    addresses = [address for tasks in cluster.values() for address in tasks]
    if not addresses:
        raise _refused("cluster: expected at least one worker", "none")
    if len(cluster.get("chief", ())) > 1:
        raise _refused("cluster: expected one chief", f"{len(cluster['chief'])}")
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not (port.isdecimal() and 0 < int(port) <= _LARGEST_PORT):
            raise _refused("cluster: expected addresses like host:2222", repr(address))
    address, count = collections.Counter(addresses).most_common(1)[0]
    if count > 1:
        raise _refused("cluster: expected each address once", f"{address!r} {count} times")


def check_port(cluster: Cluster) -> None:
    """Refuse a port of this process that another one uses.

    Raises:
        UsageError: naming it.
    """
    with _listening(cluster):
        pass


def meet(cluster: Cluster, log: Callable[[str], object]) -> None:
    """Wait until every other worker has answered at its address once, and answer at this one.

    TensorFlow waits as well, but names nobody, and hears no Ctrl-C meanwhile.

    Args:
        cluster: the workers.
        log: is called with a line that names those that are missing, now and then.

    Raises:
        UsageError: another process uses this worker's port.
    """
    next_note = time.monotonic() + _FIRST_NOTE
    missing = [number for number in range(cluster.size) if number != cluster.index]
    with _listening(cluster):
        while missing := [n for n in missing if not _answers(cluster.addresses[n])]:
            if time.monotonic() > next_note:
                names = ", ".join(f"{number} ({cluster.addresses[number]})" for number in missing)
                log(f"{in_words(cluster)}: waiting for {names}")
                next_note = time.monotonic() + _NEXT_NOTE
            time.sleep(_TICK)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    """Answer at this worker's address; who connects is kept waiting."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listener = socket.create_server(("", cluster.port), family=family, dualstack_ipv6=both)
    except OSError as error:
        busy = error.errno == errno.EADDRINUSE
        why = "another process uses it" if busy else (error.strerror or "it cannot be opened")
        raise UsageError(
            f"{VARIABLE}: port {cluster.port} of worker {cluster.index}: {why}; end the other "
            "process, or give this worker another port in every worker's variable"
        ) from error
    with listener:
        yield


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER):
            return True
    except OSError:
        return False


def _refused(expected: str, received: str) -> UsageError:
    shown = printable(received, 200)
    return UsageError(f"{VARIABLE}: {expected}; received: {shown}; {_ADVICE}")


def in_words(cluster: Cluster) -> str:
    """Return which worker this is, for messages.

    Example:
        >>> in_words(Cluster(("a:1", "b:1"), 1))
        'worker 1 of 2 (b:1)'
    """
    return f"worker {cluster.index} of {cluster.size} ({cluster.addresses[cluster.index]})"


def configured(resolver: Any) -> Cluster:
    """Return the workers of a strategy of TensorFlow.

    Args:
        resolver: its `cluster_resolver`.
    """
    jobs = resolver.cluster_spec().as_dict()
    addresses = tuple(address for job in _TRAINING_JOBS for address in jobs.get(job, ()))
    before = len(jobs.get("chief", ())) if resolver.task_type == "worker" else 0
    return Cluster(addresses, before + int(resolver.task_id))
