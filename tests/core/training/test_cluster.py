"""`TF_CONFIG` is checked before TensorFlow starts a server: each mistake costs one line."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest

from helpers.several_workers import free_ports
from helpers.support import refused
from tfrobust.errors import UsageError
from tfrobust.training.cluster import (
    Cluster,
    check_port,
    cluster_from,
    in_words,
    meet,
)

TWO = {"worker": ["a:2222", "b:2222"]}


def config(cluster=None, **task):
    cluster = TWO if cluster is None else cluster
    return json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0} | task})


@pytest.mark.parametrize("job", ["worker", "chief"])
def test_the_chief_is_the_first_of_all_workers(job):
    """With a job `chief`, workers are counted from 1, as TensorFlow does."""
    cluster = {"worker": ["b:1", "c:1"], "chief": ["a:1"]}
    known = cluster_from({"TF_CONFIG": config(cluster, type=job)})
    assert known == Cluster(("a:1", "b:1", "c:1"), 0 if job == "chief" else 1)


def test_what_schedulers_add_is_accepted():
    """Kubeflow writes an `environment`, and some schedulers the index as text."""
    text = json.dumps(json.loads(config(index="1")) | {"environment": "cloud"})
    known = cluster_from({"TF_CONFIG": text})
    assert (known.index, known.size, known.port) == (1, 2, 2222)
    assert in_words(known) == "worker 1 of 2 (b:2222)"


MISTAKES = {
    "no variable": (None, "expected the addresses of all workers; received: nothing"),
    "empty": (" ", "received: nothing"),
    "no JSON": ("{'cluster': 1}", "cannot be used (Invalid JSON"),
    "a list": ("[]", "cannot be used ("),
    "no task": (json.dumps({"cluster": TWO}), "task: Field required"),
    "no cluster": (json.dumps({"task": {"type": "worker", "index": 0}}), "cluster: Field required"),
    "no index": (json.dumps({"cluster": TWO, "task": {"type": "worker"}}), "task.index: Field"),
    "no type": (json.dumps({"cluster": TWO, "task": {"index": 0}}), "task.type: Field required"),
    "a negative index": (config(index=-1), "task.index: Input should be greater than or equal"),
    "an index that is none": (config(index="b"), "task.index: Input should be a valid integer"),
    "an unknown worker": (config(index=2), "expected less than 2, the number of workers; recei"),
    "a job that is not there": (config(type="chief"), "task.type: expected one of worker"),
    "a misspelt job": (config(type="workers"), "did you mean 'worker'?"),
    "a job that trains nothing": (config({"worker": ["a:1"], "ps": ["b:1"]}), "a job 'ps'"),
    "workers that are no list": (config({"worker": "a:1"}), "cluster.worker: Input should be a"),
    "no workers": (config({"worker": []}), "expected at least one worker; received: none"),
    "no jobs": (config({}), "expected at least one worker"),
    "no port": (config({"worker": ["a", "b:1"]}), "addresses like host:2222; received: 'a'"),
    "no host": (config({"worker": [":1"]}), "received: ':1'"),
    "a port beyond": (config({"worker": ["a:65536"]}), "received: 'a:65536'"),
    "one address twice": (config({"worker": ["a:1", "a:1"]}), "each address once; received: 'a:1'"),
    "two chiefs": (config({"chief": ["a:1", "b:1"]}, type="chief"), "one chief; received: 2"),
    "deep JSON": ("[" * 10_000, "cannot be used ("),
    "control characters": (config({"worker": ["\x1b[31m"]}), "received: '\\x1b[31m'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_costs_one_line_that_shows_what_is_needed(mistake):
    text, words = MISTAKES[mistake]
    environment = {} if text is None else {"TF_CONFIG": text}
    refused(UsageError, lambda: cluster_from(environment), "TF_CONFIG: ", words, '{"cluster": {"wo')


def test_a_port_that_another_process_uses_is_refused():
    with socket.socket() as busy:
        busy.bind(("", 0))
        busy.listen()
        port = busy.getsockname()[1]
        here = Cluster((f"localhost:{port}", "localhost:1"), 0)
        refused(
            UsageError, lambda: check_port(here), f"port {port} of worker 0: another process uses"
        )
    check_port(here)


def test_workers_wait_for_each_other_and_name_who_is_missing(monkeypatch):
    """Each needs no more than to find the others' ports open once: it may go on before them."""
    monkeypatch.setattr("tfrobust.training.cluster._FIRST_NOTE", 0.0)
    addresses = tuple(f"127.0.0.1:{port}" for port in free_ports(3))
    lines = []
    threads = [
        threading.Thread(target=meet, args=(Cluster(addresses, number), lines.append))
        for number in range(3)
    ]
    threads[0].start()
    threads[1].start()
    time.sleep(0.5)
    assert all(thread.is_alive() for thread in threads[:2])
    assert len(lines) == 2
    for number, line in enumerate(sorted(lines)):
        assert line.startswith(f"worker {number} of 3 ({addresses[number]}): waiting for ")
        assert line.endswith(f"2 ({addresses[2]})")
    with socket.create_server(("127.0.0.1", int(addresses[2].rpartition(":")[2]))):
        for thread in threads[:2]:
            thread.join(10)
            assert not thread.is_alive()


def test_the_command_refuses_it_before_tensorflow_is_imported():
    code = (
        "import sys; from tfrobust_cli.main import main\n"
        "sys.argv = ['tfrobust', 'train', 'lenet', '--strategy', 'multiworker']\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    environment = {"TF_CONFIG": "{", "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["2", "False"], done.stderr
    assert done.stderr.startswith("error: TF_CONFIG: cannot be used (Invalid JSON")
