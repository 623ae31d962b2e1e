"""What the terminal shows: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import enum
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from tfrobust.environment.allocator import limit_heaps
from tfrobust.environment.durations import duration
from tfrobust.errors import printable

_PATIENCE = 5.0  # seconds between lines that go to a file or a pipe
_PLAIN_WIDTH = 120  # of tables that go to a file or a pipe
_LONGEST = 1000  # characters of an error


class Verbosity(enum.Enum):
    """How much is printed on stderr."""

    QUIET = "errors alone"
    USUAL = "progress and notes"
    VERBOSE = "TensorFlow's notes, times and tracebacks too"


_verbosity = Verbosity.USUAL


def set_verbosity(verbosity: Verbosity) -> None:
    """Set how much this process prints on stderr from now on."""
    global _verbosity  # noqa: PLW0603  # the terminal is the process's too
    _verbosity = verbosity
    if verbosity is Verbosity.VERBOSE:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"


def verbosity() -> Verbosity:
    """Return how much this process prints on stderr."""
    return _verbosity


def stdout() -> Console:
    """Return the console for results."""
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def stderr() -> Console:
    """Return the console for everything else."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH)


class Reporter:
    """Shows how far long work is: bars in a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._shows_bars = self._console.is_terminal and _verbosity is not Verbosity.QUIET
        self._what: str | None = None
        self._began, self._first = 0.0, 0  # when this work was first seen, and how far it was
        self._printed = time.monotonic()

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shows_bars:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `what` are behind us; details follow a dash."""
        if not self._shows_bars:
            self._print_now_and_then(what, done, total)
            return
        title = what.partition(" — ")[0]
        if self._what is None:  # not before: others show bars of their own until then
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        if title != self._what:
            self._what = title
            self._bar.reset(self._task, total=total, description=escape(what))
        self._bar.update(self._task, completed=done, description=escape(what))

    def _print_now_and_then(self, what: str, done: int, total: int) -> None:
        """Print a line where no bar is shown, with how long it still takes at this pace."""
        now, title = time.monotonic(), what.partition(" — ")[0]
        if title != self._what:
            self._what, self._began, self._first = title, now, done
        if now - self._printed < _PATIENCE:
            return
        behind = done - self._first
        left = (now - self._began) / behind * (total - done) if behind > 0 else 0.0
        self.log(f"{what}: {done}/{total}" + (f", about {duration(left)} left" if left else ""))
        self._printed = now

    def log(self, text: str) -> None:
        """Print one line above the bars."""
        _print_line(self._console, text)


def log(text: str) -> None:
    """Print one line on stderr."""
    _print_line(stderr(), text)


def _print_line(console: Console, text: str) -> None:
    if _verbosity is not Verbosity.QUIET:
        console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Print an error in one line, shortened and printable, and exit.

    In a terminal the problem is red; what to do about it, after the first semicolon, is not.
    """
    line = printable(" ".join(message.split()), limit=10**6)
    if len(line) > _LONGEST:  # the problem comes first, what to do last
        line = f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"
    if line:
        problem, semicolon, remedy = line.partition("; ")
        said = Text.assemble((f"error: {problem}", "red"), f"{semicolon}{remedy}")
        stderr().print(said, soft_wrap=True)
    sys.exit(code)


def show_traceback() -> None:
    """Print where the exception that is being handled was raised, if the user asked for more."""
    if _verbosity is Verbosity.VERBOSE:
        traceback.print_exc()


def start_tensorflow(*, several_workers: bool = False) -> None:
    """Import TensorFlow, without the notes that its native code writes to stderr.

    Args:
        several_workers: leave its devices to a strategy, which opens them together with those of
            other processes, and can do so only before they are used.

    Raises:
        UsageError: Keras is set to another backend.
    """
    limit_heaps()
    if _verbosity is not Verbosity.VERBOSE:
        warnings.simplefilter("ignore", DeprecationWarning)
    with _starting():
        import tensorflow as tf

        from tfrobust.classifiers.keras.models import check_backend
        from tfrobust.training.devices import grow_memory

        check_backend()
        grow_memory()
        if not several_workers:
            tf.config.list_logical_devices()
    if _verbosity is Verbosity.VERBOSE:
        return
    tf.get_logger().setLevel(logging.ERROR)
    for talkative in ("absl", "urllib3"):
        logging.getLogger(talkative).setLevel(logging.ERROR)


@contextlib.contextmanager
def _starting() -> Iterator[None]:
    """Show that TensorFlow starts, and how long it took where that is asked for."""
    console, began = stderr(), time.monotonic()
    if _verbosity is Verbosity.VERBOSE:
        yield
        log(f"TensorFlow started in {time.monotonic() - began:.1f} s")
        return
    shown = console.is_terminal and _verbosity is Verbosity.USUAL
    status = console.status("starting TensorFlow …") if shown else contextlib.nullcontext()
    with status, _native_stderr_closed():
        yield


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Send what goes to file descriptor 2 nowhere; errors are Python's and still surface."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
