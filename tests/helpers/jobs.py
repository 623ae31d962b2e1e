"""Jobs for tests of executors; workers import this module."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from tfrobust.environment.versions import threads
from tfrobust.errors import DataError


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums of products, whose last bits depend on the number of threads.

    Attributes:
        folder: each start and each item leaves a file there.
        deadly: items that kill their worker.
        once: whether they kill only the first worker that computes them.
        refused: items that raise an error of ours.
        hungry: items for which memory is short.
        seconds: that an item takes at least.
    """

    folder: Path
    deadly: tuple[int, ...] = ()
    once: bool = True
    refused: tuple[int, ...] = ()
    hungry: tuple[int, ...] = ()
    seconds: float = 0.0

    def start(self) -> Callable[[int], bytes]:
        self._note(f"start-{os.getpid()}")
        return self._compute

    def _compute(self, item: int) -> bytes:
        seen_before = self._note(f"item-{item}")
        time.sleep(self.seconds)
        if item in self.refused:
            raise DataError(f"item {item} is refused")
        if item in self.hungry and not (self.once and seen_before):
            raise MemoryError("no 40 GB")
        if item in self.deadly and not (self.once and seen_before):
            print(f"item {item} kills", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        values = tf.random.stateless_normal((300, 300), seed=(0, item))
        return bytes(tf.linalg.matmul(values, values).numpy().tobytes()[:4096])

    def _note(self, name: str) -> bool:
        path = self.folder / name
        before = path.exists()
        with path.open("a") as file:
            file.write(f"{os.getpid()} {threads()}\n")
        return before


@dataclasses.dataclass(frozen=True)
class Variables:
    """Tells the values of variables of the worker's environment."""

    def start(self) -> Callable[[str], str | None]:
        return os.environ.get
