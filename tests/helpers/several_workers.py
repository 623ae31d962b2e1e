"""Trainings of several processes on this machine, each of which is told its place by TF_CONFIG."""

import contextlib
import json
import os
import socket
import subprocess
import sys

from helpers.support import REPO

COMMAND = "from tfrobust_cli.main import main; main()"


def free_ports(count):
    """Return so many ports that nobody uses."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for opened in sockets:
            opened.bind(("127.0.0.1", 0))
        return [opened.getsockname()[1] for opened in sockets]


def start(code, *arguments, count=2, **environment):
    """Start so many workers that run `code`; return their processes.

    An argument or a variable that is a list has one value for each worker.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    paths = [str(REPO / "tests"), os.environ.get("PYTHONPATH", "")]
    processes = []
    for index in range(count):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        surroundings = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "TF_CONFIG": json.dumps(config),
            **{name: _of(index, value) for name, value in environment.items()},
        }
        command = [sys.executable, "-c", code, *(_of(index, value) for value in arguments)]
        processes.append(
            subprocess.Popen(
                command,
                env=surroundings,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def _of(index, value):
    return str(value[index] if isinstance(value, list) else value)


def ended(processes, timeout=240):
    """Wait for workers; return `(exit code, stdout, lines of errors)` of each, and leave none."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, out, [line for line in err.splitlines() if line.startswith("error:")])
        for process, (out, err) in zip(processes, outputs, strict=True)
    ]


def succeeded(processes):
    """Wait for workers that must succeed; return what each printed."""
    with contextlib.ExitStack() as held:
        for process in processes:
            held.callback(process.kill)
        outputs = [process.communicate(timeout=240) for process in processes]
    for process, (_, err) in zip(processes, outputs, strict=True):
        assert process.returncode == 0, err[-3000:]
    return [out for out, _ in outputs]
