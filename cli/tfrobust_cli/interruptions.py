"""Ctrl-C and SIGTERM end a command in the same way: one line tells how to continue."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

_GO_ON = {("evaluate",), ("attack",), ("demo",), ("run",), ("study", "run")}


def what_next(arguments: Sequence[str]) -> str:
    """Return what an interrupted command tells its user.

    Args:
        arguments: the command line without the program.

    Example:
        >>> what_next(["export", "d1", "served/digits"])
        'interrupted; the same command starts from the beginning'
    """
    words = tuple(word for word in arguments if not word.startswith("-"))
    if words[:1] == ("train",):
        again = "the same command" if "--resume" in arguments else "the same command with --resume"
        again = "--resume in place of --force" if "--force" in arguments else again
        return f"interrupted; {again} goes on from what is finished"
    if words[:1] in _GO_ON or words[:2] in _GO_ON:
        return "interrupted; the same command goes on from what is finished"
    return "interrupted; the same command starts from the beginning"


@contextlib.contextmanager
def terminated_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise `KeyboardInterrupt`, once: clearing up is not interrupted again."""
    if threading.current_thread() is not threading.main_thread():  # Python allows it nowhere else
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
