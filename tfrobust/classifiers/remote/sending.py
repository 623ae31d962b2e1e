"""Requests as they leave: in batches, several at once, paced, paid for, and sent again.

This is the one place where images leave, and so where queries are counted. A request is paid for
before it is sent. Where it fails for a passing reason it is sent again after a growing, random
wait, or the one that the server asks for, and paid for again unless it certainly never left, which
only REST can tell.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from tfrobust.classifiers.remote.answers import Answers
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import LONGEST_WAIT, TransientError, Wire, needs
from tfrobust.classifiers.remote.questions import Question
from tfrobust.errors import BudgetSpentError, EndpointError
from tfrobust.types import Flags, Images

_FIRST_WAIT, _MOST_WAIT = 0.25, 30.0  # seconds between tries, before the random part

Outputs = dict[str, np.ndarray]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Sent:
    """One request that was answered.

    Attributes:
        rows: positions of its images among those that were to be sent, ascending.
        outputs: of the endpoint, by name, one row an image.
    """

    rows: np.ndarray
    outputs: Outputs


class Pace:
    """Lets so many requests a second pass, evenly, and none while the server asks to wait.

    Args:
        per_second: at most; `None`: all at once.
    """

    def __init__(self, per_second: float | None) -> None:
        self._gap = 0.0 if per_second is None else 1.0 / per_second
        self._next = self._held = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait until the next request may leave."""
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + self._gap
        while (left := max(start, self._held) - time.monotonic()) > 0:  # it may be held meanwhile
            time.sleep(left)

    def hold(self, seconds: float) -> None:
        """Let no request leave for so long: the server asked one of them to wait."""
        with self._lock:
            self._held = max(self._held, time.monotonic() + seconds)


class Sender:
    """Sends images to one endpoint.

    Args:
        wire: the connection.
        options: how the endpoint is asked.
        answers: where queries are counted.

    Attributes:
        requests: how many have left.
    """

    def __init__(self, wire: Wire, options: RemoteOptions, answers: Answers) -> None:
        self._wire, self._options, self._answers = wire, options, answers
        self._pace = Pace(options.requests_per_second)
        self._pool = concurrent.futures.ThreadPoolExecutor(
            options.concurrency, thread_name_prefix="tfrobust-endpoint"
        )
        self._lock = threading.Lock()
        self.requests = 0

    def send(
        self, question: Question, images: Images, pay_again: Callable[[np.ndarray], Flags]
    ) -> Iterator[Sent]:
        """Yield the answers to images that are paid for, each request's as it comes.

        Args:
            question: how they are put.
            images: `(n, height, width, channels)` in the pixel range of the endpoint.
            pay_again: positions of images → which of them may be sent again, bool; it pays.

        Raises:
            EndpointError: a request failed for good, or too often. All others are yielded before.
        """
        size = min(self._options.batch, question.most or self._options.batch)
        starts = range(0, len(images), size)
        chunks = [np.arange(start, min(start + size, len(images))) for start in starts]

        def one(rows: np.ndarray) -> Sent:
            return self._request(question, images, rows, pay_again)

        if len(chunks) == 1:
            yield one(chunks[0])
            return
        failure: EndpointError | None = None
        futures = [self._pool.submit(one, rows) for rows in chunks]
        for future in concurrent.futures.as_completed(futures):
            try:
                yield future.result()
            except EndpointError as error:
                failure = failure or error
                for waiting in futures:
                    waiting.cancel()
            except concurrent.futures.CancelledError:
                pass
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Stop."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _request(
        self,
        question: Question,
        images: Images,
        rows: np.ndarray,
        pay_again: Callable[[np.ndarray], Flags],
    ) -> Sent:
        """Send one request until it is answered; images that cannot be paid again are left out."""
        left = False
        for attempt in tries(self._options.retries):
            if left:
                rows = rows[pay_again(rows)]
                if not len(rows):
                    return Sent(rows, {})
            with attempt:
                self._pace.wait()
                with self._lock:
                    self.requests += 1
                left = True
                try:
                    outputs = question.ask(self._wire, images[rows])
                except TransientError as error:
                    left = error.left
                    if error.wait is not None and error.wait <= LONGEST_WAIT:
                        self._pace.hold(error.wait)
                    raise
        return Sent(rows, outputs)


def tries(retries: int, *, stays_away: bool = True) -> Any:
    """Return what yields the tries of one request, with the waits between them.

    Args:
        retries: how many there are after the first one.
        stays_away: whether a server that cannot be reached is tried again.
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


def spent_error(limit: int | None) -> BudgetSpentError:
    """Return the error of a question that cannot be paid for."""
    return BudgetSpentError(
        f"the budget of {limit} queries is spent; give more by --max-queries (what is answered is "
        "kept and not asked again), or fewer images by --limit"
    )
