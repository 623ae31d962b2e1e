"""What the terminal shows: progress on stderr, results on stdout."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tfrobust.environment.allocator import limit_heaps
from tfrobust.errors import printable

_PATIENCE = 5.0  # seconds between lines that go to a file or a pipe
_PLAIN_WIDTH = 120  # of tables that go to a file or a pipe


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
            console=self._console,
        )
        self._what: str | None = None
        self._printed = time.monotonic()

    def __enter__(self) -> Reporter:
        if self._console.is_terminal:
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `what` are behind us; details follow a dash."""
        if not self._console.is_terminal:
            if time.monotonic() - self._printed >= _PATIENCE:
                self.log(f"{what}: {done}/{total}")
                self._printed = time.monotonic()
            return
        title = what.partition(" — ")[0]
        if title != self._what:
            self._what = title
            self._bar.reset(self._task, total=total, description=escape(what))
        self._bar.update(self._task, completed=done, description=escape(what))

    def log(self, text: str) -> None:
        """Print one line above the bars."""
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def log(text: str) -> None:
    """Print one line on stderr."""
    stderr().print(printable(text), markup=False, highlight=False, soft_wrap=True)


def start_tensorflow(*, several_workers: bool = False) -> None:
    """Import TensorFlow, without the notes that its native code writes to stderr.

    Args:
        several_workers: leave its devices to a strategy, which opens them together with those of
            other processes, and can do so only before they are used.

    Raises:
        UsageError: Keras is set to another backend.
    """
    console = stderr()
    status = (
        console.status("starting TensorFlow …") if console.is_terminal else contextlib.nullcontext()
    )
    warnings.simplefilter("ignore", DeprecationWarning)
    limit_heaps()
    with status, _native_stderr_closed():
        import tensorflow as tf

        from tfrobust.classifiers.keras.models import check_backend
        from tfrobust.training.devices import grow_memory

        check_backend()
        grow_memory()
        if not several_workers:
            tf.config.list_logical_devices()
    tf.get_logger().setLevel(logging.ERROR)
    for talkative in ("absl", "urllib3"):
        logging.getLogger(talkative).setLevel(logging.ERROR)


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
