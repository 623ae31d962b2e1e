"""Which server of SavedModels is installed, and the command that starts it.

TensorFlow Serving in Docker comes first, then KServe's Python model server, which may lie in a
Python of its own: its packages and TensorFlow's exclude each other in some versions.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tfrobust.classifiers.saved_model.operations import check_saved_model
from tfrobust.errors import UsageError
from tfrobust.files.names import is_name
from tfrobust.store.layout import store_root, stored, versions

IMAGE = "tensorflow/serving"
PYTHON = "TFROBUST_KSERVE_PYTHON"  # names the interpreter that has KServe
_PATIENCE = 60.0  # seconds that a question may take
_OPEN = "--host {host}: every machine that reaches this one can ask, without any authentication"
_SCRIPT = Path(__file__).with_name("kserve_model.py")


@dataclasses.dataclass(frozen=True)
class ServerCommand:
    """How a server is started.

    Attributes:
        server: what it is called.
        words: the command.
        url: what it answers at, seen from this machine.
        warning: what the user should know of it; empty: nothing.
    """

    server: str
    words: tuple[str, ...]
    url: str
    warning: str = ""


def served_folder(name: str, *, trust: bool = False) -> Path:
    """Return the folder of versions that a name in the store, or a path, means.

    The newest version, which is what servers load, is checked as `load` does.

    Args:
        name: of a classifier in the store, or a path.
        trust: serve it although its operations touch files, sockets or processes.

    Raises:
        UsageError: there are no versions, or it cannot be the name of a model.
        ClassifierError: the newest may touch files, sockets or processes, or is damaged.

    Example:
        >>> served_folder("d1")
        PosixPath('saved_models/d1')
    """
    for folder in (store_root() / name, Path(name)):
        if any((folder / str(number) / "saved_model.pb").exists() for number in versions(folder)):
            if not is_name(folder.resolve().name):
                raise UsageError(f"{folder}: its name cannot be that of a served model; rename it")
            check_saved_model(folder / str(versions(folder)[-1]), trust=trust)
            return folder
    known = ", ".join(stored()[:10]) or "none"
    raise UsageError(
        f"{name}: expected a name in {store_root()}, or a folder of versions as `tfrobust export` "
        f"makes it (there are: {known})"
    )


def server_command(
    folder: Path, *, port: int = 8501, grpc_port: int = 8500, host: str = "127.0.0.1"
) -> ServerCommand:
    """Return how the server that is installed serves a folder of versions.

    Args:
        folder: of the versions.
        port: of the REST API.
        grpc_port: of gRPC, which TensorFlow Serving has.
        host: the address that it listens on.

    Raises:
        UsageError: none is installed; says how to install one.
    """
    home = folder.resolve()
    place = f"[{host}]" if ":" in host else host
    open_to_all = host in ("0.0.0.0", "::")  # noqa: S104 (compared, not bound)
    url = f"http://{'localhost' if open_to_all else place}:{port}/v1/models/{home.name}"
    warning = _OPEN.format(host=host) if open_to_all else ""
    if docker := _docker():
        if "," in str(home):
            raise UsageError(f"{home}: Docker mounts no folder with a comma in its path; move it")
        return ServerCommand(
            "TensorFlow Serving in Docker",
            (
                docker, "run", "--rm", "--init",
                "--publish", f"{place}:{port}:8501", "--publish", f"{place}:{grpc_port}:8500",
                "--mount", f"type=bind,source={home},target=/models/{home.name},readonly",
                "--env", f"MODEL_NAME={home.name}", IMAGE,
            ),
            url,
            warning,
        )  # fmt: skip
    if python := _kserve_python():
        newest = home / str(versions(home)[-1])
        return ServerCommand(
            "KServe's Python model server",
            (
                python, "-I", str(_SCRIPT), "--model_name", home.name, "--model_dir", str(newest),
                "--http_port", str(port), "--host", host,
            ),
            url,
            warning,
        )  # fmt: skip
    raise UsageError(
        f"serve: no server is installed: neither Docker with the image {IMAGE} (docker pull "
        f"{IMAGE}) nor KServe (python -m venv kserve && kserve/bin/pip install kserve tensorflow, "
        f"and set {PYTHON}=kserve/bin/python)"
    )


def _docker() -> str | None:
    """Return Docker's client, if its daemon runs and has the image."""
    docker = shutil.which("docker")
    there = docker is not None and _succeeds([docker, "image", "inspect", IMAGE])
    return docker if there else None


def _kserve_python() -> str | None:
    """Return an interpreter that has KServe and TensorFlow."""
    named = os.environ.get(PYTHON)
    python = shutil.which(named) if named else sys.executable
    if named and python is None:
        raise UsageError(f"{PYTHON}: expected a Python interpreter; received: {named!r}")
    looked_up = (
        "import importlib.util as u; "
        "assert all(map(u.find_spec, ('kserve', 'uvicorn', 'tensorflow')))"
    )
    return python if python and _succeeds([python, "-I", "-c", looked_up]) else None


def _succeeds(words: Sequence[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 (fixed words, no shell)
            words, check=False, capture_output=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
