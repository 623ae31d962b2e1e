"""Runs the command line on bad inputs, and checks its output and the files it leaves."""

import io
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from helpers.files.fuzz_files import MADE
from tfrobust.errors import CONTROLS
from tfrobust_cli.main import main

SECONDS, BYTES = 30, 2 << 30  # that one input may cost
LINE = 1100  # characters of a message


class CommandResult(NamedTuple):
    """The output and the effects of a command."""

    code: int
    out: str
    err: str
    seconds: float
    new: tuple[str, ...]  # files and folders that were not there before
    grown: int  # bytes of memory, at its peak


class HangsError(BaseException):
    """A command that hangs; not an `Exception`, so that no handler takes it for a bad file."""


class Runner:
    """Calls `tfrobust ARGUMENTS` in a fresh folder, with `d1` in its store.

    Files that the arguments name and that `fuzz_files.MADE` can make are made first, then `files`:
    name → content.
    """

    def __init__(self, root: Path, store: Path, encoding: str = "utf-8") -> None:
        self._root, self._store, self._encoding = root, store, encoding
        self._count = 0

    def __call__(self, *arguments: object, files: dict[str, bytes] | None = None) -> CommandResult:
        typed = [str(argument) for argument in arguments]
        self._count += 1
        root = self._root / str(self._count)
        home, temporary = root / "home", root / "tmp"
        home.mkdir(parents=True)
        temporary.mkdir()
        shutil.copytree(self._store, home / "saved_models")
        for name, make in MADE.items():
            if any(name in argument for argument in typed):
                make(home / name)
        for name, data in (files or {}).items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_bytes(data)
        try:
            with _inside(home, temporary):
                return self._called(root, typed)
        finally:
            shutil.rmtree(root)

    def _called(self, root: Path, typed: list[str]) -> CommandResult:
        before, memory, began = _tree(root), _peak(), time.monotonic()
        code, out, err = _call(typed, self._encoding)
        seconds = time.monotonic() - began
        new = tuple(sorted(set(_tree(root)) - set(before)))
        gone = sorted(set(before) - set(_tree(root)))
        assert not gone, f"it took away {gone}"
        return CommandResult(code, out, err, seconds, new, _peak() - memory)


def check_refused(result: CommandResult) -> str:
    """Check that an input was refused as it should be, and return the line."""
    assert result.code in {1, 2}, result
    line = check_sane(result)
    assert not result.new, f"left behind: {result.new}"
    assert line.startswith("error: "), result
    return line


def check_sane(result: CommandResult) -> str:
    """Check what must hold for every end of a command, and return its error line, if any."""
    assert "Traceback" not in result.err + result.out, result.err
    assert result.seconds < SECONDS, result
    assert result.grown < BYTES, result
    outside = [path for path in result.new if not path.startswith("home/")]
    assert not outside, f"outside of the folder: {outside}"
    errors = [line for line in result.err.splitlines() if line.startswith("error:")]
    assert len(errors) == (result.code != 0), result
    line = errors[0] if errors else ""
    assert len(line) < LINE, line
    assert not CONTROLS.search(line), line
    if errors:
        assert result.err.rstrip("\n").endswith(line), result.err  # nothing follows it
    return line


def _call(typed: list[str], encoding: str) -> tuple[int, str, str]:
    """Call the command line with its own streams, and an alarm that ends it if it hangs."""

    def ring(*_):
        raise HangsError(f"still running after {SECONDS} s: {typed}")

    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in "12"]
    kept = sys.argv, sys.stdout, sys.stderr
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    room = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_reserved() + 2 * BYTES, room[1]))
    try:
        sys.argv, sys.stdout, sys.stderr = ["tfrobust", *typed], *streams
        main()
        code = 0
    except SystemExit as left:
        code = left.code or 0
    finally:
        resource.setrlimit(resource.RLIMIT_AS, room)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        sys.argv, sys.stdout, sys.stderr = kept
    out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)
    return code, out, err


@contextmanager
def _inside(home: Path, temporary: Path):
    """Work in `home`, without the user's environment variables that name other folders."""
    kept, where, own = dict(os.environ), Path.cwd(), tempfile.tempdir
    os.chdir(home)
    os.environ.pop("TFROBUST_MODELS", None)
    os.environ |= {"TMPDIR": str(temporary), "TFDS_DATA_DIR": str(home / "none")}
    tempfile.tempdir = str(temporary)
    try:
        yield
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(kept)
        tempfile.tempdir = own


def _tree(root: Path) -> list[str]:
    """Return the contents of a folder, except files that TensorFlow removes at exit."""
    return [
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, files in os.walk(root)
        for name in [*folders, *files]
        if not name.startswith("__autograph_generated_file")
    ]


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reserved() -> int:
    """Return the bytes of addresses that this process has reserved."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
