"""Requests as they leave: in batches, several at once, paced, paid for, and sent again.

This is the one place where images leave, and so where queries are counted. A request is paid for
before it is sent. Where it fails for a passing reason it is sent again after a growing, random
wait, or the one that the server asks for, and paid for again unless it certainly never left, which
only REST can tell.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Sequence

import numpy as np

from tfrobust.classifiers.python_calls import pause, stop_if_interrupted
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.protocol import (
    LONGEST_WAIT,
    OtherModelError,
    Outputs,
    TransientError,
    Wire,
)
from tfrobust.classifiers.remote.questions import Question
from tfrobust.classifiers.remote.spending import Spending
from tfrobust.classifiers.remote.waiting import Pace, tries
from tfrobust.errors import BudgetSpentError, EndpointError
from tfrobust.meter import Purpose
from tfrobust.types import Images

_LOOK = 0.2  # seconds between two looks whether Ctrl-C was pressed
_AHEAD = 2  # requests that wait for each that is on its way, so that none of these is late

Answered = Callable[[np.ndarray, Outputs], None]  # rows of the images, and what is said of them


@dataclasses.dataclass(frozen=True)
class _Errand:
    """What all requests of one question have in common; see `Sender.send`.

    Attributes:
        stop: set when no request is to leave any more; `None`: the caller's thread sends the only
            one.
    """

    question: Question
    images: Images
    purpose: Purpose
    answered: Answered
    stop: threading.Event | None = None

    def pause(self, seconds: float) -> bool:
        """Wait, unless nothing is to leave any more; return whether that is so."""
        if self.stop is not None:
            return self.stop.wait(seconds)
        pause(seconds)
        return False

    @property
    def stopped(self) -> bool:
        """Whether no request is to leave any more."""
        return self.stop is not None and self.stop.is_set()


class Sender:
    """Sends images to one endpoint.

    Args:
        wire: the connection.
        options: how the endpoint is asked.
        spending: pays.

    Attributes:
        requests: how many have left.
    """

    def __init__(self, wire: Wire, options: RemoteOptions, spending: Spending) -> None:
        self._wire, self._options, self._spending = wire, options, spending
        self._pace = Pace(options.requests_per_second)
        self._pool = concurrent.futures.ThreadPoolExecutor(
            options.concurrency, thread_name_prefix="tfrobust-endpoint"
        )
        self._lock = threading.Lock()
        self.requests = 0

    def send(
        self, question: Question, images: Images, purpose: Purpose, answered: Answered
    ) -> None:
        """Send images that are paid for.

        Args:
            question: how they are put.
            images: `(n, height, width, channels)` in [0, 1].
            purpose: of the questions.
            answered: takes the answers of each request as they come, in the thread that sent it:
                whatever goes wrong elsewhere, what is paid for arrives. It raises `EndpointError`
                where an answer is not as it should be.

        Raises:
            EndpointError: a request failed for good, or too often, or its answer is wrong. Those
                on their way are waited for; the others never leave, and cost nothing. Of several
                errors that of another model is raised.
        """
        size = min(self._options.batch, question.most or self._options.batch)
        starts = range(0, len(images), size)
        chunks = [np.arange(start, min(start + size, len(images))) for start in starts]
        errand = _Errand(question, images, purpose, answered)
        if len(chunks) == 1:
            self._request(errand, chunks[0])
        else:
            self._all(errand, chunks)

    def close(self) -> None:
        """Stop."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _all(self, errand: _Errand, chunks: Sequence[np.ndarray]) -> None:
        """Send several requests at once, until all are answered or one failed."""
        stop, waiting = threading.Event(), collections.deque(chunks)
        errand = dataclasses.replace(errand, stop=stop)
        running: dict[concurrent.futures.Future[None], np.ndarray] = {}
        failure: EndpointError | None = None
        try:
            while running or (waiting and failure is None):
                while waiting and failure is None and len(running) < self._window:
                    rows = waiting.popleft()
                    running[self._pool.submit(self._request, errand, rows)] = rows
                done, _ = concurrent.futures.wait(
                    running, _LOOK, concurrent.futures.FIRST_COMPLETED
                )
                stop_if_interrupted()
                for future in done:
                    del running[future]
                    failure = _graver(failure, _failure(future))
                if failure is not None:
                    stop.set()  # what waits for its time, or for another try, does not leave
                    waiting += _cancelled(running)
        finally:  # Ctrl-C too
            stop.set()
            waiting += _cancelled(running)
            self._spending.take_back(sum(map(len, waiting)), errand.purpose)
        if failure is not None:
            raise failure

    @property
    def _window(self) -> int:
        return _AHEAD * self._options.concurrency

    def _request(self, errand: _Errand, rows: np.ndarray) -> None:
        """Send one request until it is answered; rows that cannot be paid again are left out."""
        left = again = False
        try:
            for attempt in tries(self._options.retries, sleep=errand.pause):
                if left:
                    rows = rows[self._spending.pay_again(rows)]
                    left, again = False, True
                with attempt:
                    self._pace.wait(errand.pause)
                    if errand.stopped or not len(rows):
                        return
                    with self._lock:
                        self.requests += 1
                    left = True
                    try:
                        outputs = errand.question.ask(self._wire, errand.images[rows])
                    except TransientError as error:
                        left = error.left
                        if error.wait is not None and error.wait <= LONGEST_WAIT:
                            self._pace.hold(error.wait)
                        raise
        finally:
            if not left:
                self._spending.take_back(len(rows), errand.purpose, again=again)
        errand.answered(rows, outputs)


def _failure(future: concurrent.futures.Future[None]) -> EndpointError | None:
    """Return the endpoint's error of a request that has ended; any other error is raised."""
    try:
        future.result()
    except EndpointError as error:
        return error
    return None


def _graver(first: EndpointError | None, second: EndpointError | None) -> EndpointError | None:
    """Return the error that says more: what another model answered is kept by nobody."""
    if first is None or isinstance(second, OtherModelError):
        return second
    return first


def _cancelled(
    running: dict[concurrent.futures.Future[None], np.ndarray],
) -> list[np.ndarray]:
    """Take the requests that have not left out of those that run; return their rows."""
    cancelled = [future for future in running if future.cancel()]
    return [running.pop(future) for future in cancelled]


def spent_error(limit: int | None) -> BudgetSpentError:
    """Return the error of a question that cannot be paid for."""
    return BudgetSpentError(
        f"the budget of {limit} queries is spent; give more by --max-queries (what is answered is "
        "kept and not asked again), or fewer images by --limit"
    )
