"""KServe's Python model server on loopback, started by `tfrobust serve`, and requests to it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from helpers.support import REPO
from tfrobust.serving import servers

KSERVE = Path(os.environ.get(servers.PYTHON, REPO / ".venv-kserve/bin/python"))
PATIENCE = 180.0  # seconds until it answers


def free_port():
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def serving(folder):
    """Serve a folder of versions; yield the port."""
    if not KSERVE.exists():
        pytest.skip(f"no {KSERVE}; make readers")
    port = free_port()
    environment = os.environ | {servers.PYTHON: str(KSERVE), "PATH": "/nowhere"}
    command = [sys.executable, "-m", "tfrobust_cli", "serve", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}/v1/models/{Path(folder).name}"
    try:
        _wait_for(url, process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        printed = process.communicate(timeout=60)[1]
    assert "KServe's Python model server: " in printed
    assert f"answers at {url}:predict" in printed


def _wait_for(url, process):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 (loopback)
                if json.load(reply)["ready"]:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")


def ask(url, body):
    """Return the answer to a prediction request."""
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}:predict", content, headers)  # noqa: S310 (loopback)
    with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
        return json.load(reply)
