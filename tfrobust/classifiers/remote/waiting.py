"""When a request may leave: evenly paced, held back by the server, or once more after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tfrobust.classifiers.python_calls import pause
from tfrobust.classifiers.remote.protocol import LONGEST_WAIT, TransientError, needs

_FIRST_WAIT, _MOST_WAIT = 0.25, 30.0  # seconds between tries, before the random part

T = TypeVar("T")


class Pace:
    """Lets so many requests a second pass, evenly, and none while the server asks to wait.

    Args:
        per_second: at most; `None`: all at once.
    """

    def __init__(self, per_second: float | None) -> None:
        self._gap = 0.0 if per_second is None else 1.0 / per_second
        self._next = self._held = 0.0
        self._lock = threading.Lock()

    def wait(self, sleep: Callable[[float], bool | None] = pause) -> None:
        """Wait until the next request may leave, or `sleep` says that none is to leave."""
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + self._gap
        while (left := max(start, self._held) - time.monotonic()) > 0:  # it may be held meanwhile
            if sleep(left):
                return

    def hold(self, seconds: float) -> None:
        """Let no request leave for so long: the server asked one of them to wait."""
        with self._lock:
            self._held = max(self._held, time.monotonic() + seconds)


def tries(
    retries: int, *, stays_away: bool = True, sleep: Callable[[float], bool | None] = pause
) -> Any:
    """Return what yields the tries of one request, with the waits between them.

    Args:
        retries: how many there are after the first one.
        stays_away: whether a server that cannot be reached is tried again.
        sleep: waits so many seconds.
    """
    tenacity = needs(_tenacity)
    jittered = tenacity.wait_random_exponential(multiplier=_FIRST_WAIT, max=_MOST_WAIT)

    def passing(error: BaseException) -> bool:
        if not isinstance(error, TransientError) or not (error.left or stays_away):
            return False
        return error.wait is None or error.wait <= LONGEST_WAIT

    def wait(state: Any) -> float:
        asked = state.outcome.exception().wait
        return float(jittered(state) if asked is None else asked)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(passing),
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=wait,
        sleep=sleep,
        reraise=True,
    )


def persistently(call: Callable[[], T], retries: int) -> T:
    """Return what a call returns, made again while it fails for a passing reason.

    Raises:
        EndpointError: it failed for good, or too often, or nothing answers at all.
    """
    answer: T = tries(retries, stays_away=False)(call)
    return answer


def _tenacity() -> Any:
    import tenacity

    return tenacity
