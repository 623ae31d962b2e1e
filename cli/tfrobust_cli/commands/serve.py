"""`tfrobust serve`: starts the server of SavedModels that is installed."""

from __future__ import annotations

import shlex
import subprocess
from typing import Annotated

import typer

from tfrobust.errors import RobustError
from tfrobust_cli.console import log, start_tensorflow

_PATIENCE = 20.0  # seconds that a server may take to end


def serve(
    name: Annotated[
        str, typer.Argument(help="A name in the store, or a folder of versions (served/digits).")
    ],
    port: Annotated[int, typer.Option(help="Port of the REST API.", min=1, max=65535)] = 8501,
    grpc_port: Annotated[
        int,
        typer.Option(help="Port of gRPC; only TensorFlow Serving has it.", min=1, max=65535),
    ] = 8500,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0: all of this machine.")
    ] = "127.0.0.1",
    trust: Annotated[
        bool, typer.Option("--trust", help="Serve one that may access files or processes.")
    ] = False,
) -> None:
    """Serve a classifier by TensorFlow Serving in Docker, or by KServe's Python model server.

    The server that is installed is started; Ctrl-C ends it.

    Example: [bold]tfrobust serve d1 --port 8501[/]
    """
    start_tensorflow()
    from tfrobust.serving.servers import served_folder, server_command

    folder = served_folder(name, trust=trust)
    command = server_command(folder, port=port, grpc_port=grpc_port, host=host)
    log(f"{command.server}: {shlex.join(command.words)}")
    if command.warning:
        log(f"warning: {command.warning}")
    log(f"answers at {command.url}:predict; Ctrl-C ends it")
    process = subprocess.Popen(command.words)  # noqa: S603 (our own words, no shell)
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
    if code:
        raise RobustError(f"{command.server} ended with code {code}; its own lines say why")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("serve")(serve)
