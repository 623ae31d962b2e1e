"""An endpoint as an attack sees it: asked within a budget of the run and one of each image."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from tfrobust.classifiers.remote.attempts import Attempt
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.paid_answers import PaidAnswers
from tfrobust.classifiers.remote.sending import spent_error
from tfrobust.meter import Goal, Purpose, QueryCount
from tfrobust.norms.levels import rounded
from tfrobust.types import Flags, Images, Logits

_GAP = 0.5  # seconds between what is told of the spending


class Endpoint:
    """Answers questions about images; see `tfrobust.meter.Meter` for what an attack sees.

    Args:
        paid: answers.
        options: how it is asked.
    """

    def __init__(self, paid: PaidAnswers, options: RemoteOptions) -> None:
        self._paid, self._options = paid, options
        self._attempt: Attempt | None = None
        self._lenient = False
        self._changed: Callable[[QueryCount], object] | None = None
        self._told = 0.0
        self._lock = threading.RLock()

    # What an attack sees: `Meter`.

    @contextlib.contextmanager
    def attempt(self, images: Images, goal: Goal) -> Iterator[Attempt]:
        """Count what one attack asks about each of its images; see `Meter`."""
        before = self._attempt
        limit = self._options.queries_per_image
        self._attempt = Attempt(images, goal, limit, levels=self._paid.question.levels)
        try:
            yield self._attempt
        finally:
            self._attempt = before

    @contextlib.contextmanager
    def watched(self, changed: Callable[[QueryCount], object]) -> Iterator[None]:
        """Tell how much is spent, twice a second at most; see `Meter`."""
        self._changed = changed
        try:
            yield
        finally:
            self._changed = None

    @contextlib.contextmanager
    def lenient(self) -> Iterator[None]:
        """Answer an audit, NaN where nothing can be paid for any more; see `Meter`."""
        self._lenient = True
        try:
            yield
        finally:
            self._lenient = False

    def refused(self, numbers: np.ndarray) -> Flags:
        """Return which images of the attack get no answers any more; see `Meter`."""
        if self._attempt is None:
            return np.zeros(len(numbers), bool)
        return self._attempt.refused(numbers)

    @property
    def count(self) -> QueryCount:
        """What was spent so far; see `Meter`."""
        spending = self._paid.spending
        return QueryCount(
            sent=spending.sent,
            cached=sum(asked.kept for asked in spending.by.values()),
            limit=spending.limit,
            per_image=self._options.queries_per_image,
            unpaid=spending.unpaid,
            repeated=spending.repeated,
            by=dict(spending.by),
        )

    def prove(self) -> None:
        """Ask once more whether it is still the same model; see `Meter`."""
        with self._lock:
            self._paid.prove()

    # What the graph calls.

    def ask(self, images: Images, numbers: np.ndarray, *, shared: bool = False) -> Logits:
        """Return logits, float32 `(rows, classes)`.

        Args:
            images: float32 `(rows, height, width, channels)` in [0, 1].
            numbers: of the attack's images, see `Attempt.charge`; none: no attack asks; negative
                ones: the engine does, beside the attack (`tfrobust.classifiers.asking.beside`).
            shared: whether the rows are about all of these images (`…asking.shared`).

        Raises:
            BudgetSpentError: no attack asks, and the budget is spent.
            EndpointError: the endpoint does not answer, or not as it should.
            OtherModelError: another model answers; what it may have answered is not kept.
        """
        with self._lock:
            logits = self._ask(images, numbers, one_each=not shared and len(numbers) == len(images))
        if self._changed and time.monotonic() - self._told > _GAP:
            self._told = time.monotonic()
            self._changed(self.count)
        return logits

    def _ask(self, images: Images, numbers: np.ndarray, *, one_each: bool) -> Logits:
        beside = bool(len(numbers)) and numbers[0] < 0
        attempt = self._attempt if len(numbers) and not beside else None
        images = self._as_sent(images, attempt, numbers if one_each else None)
        allowed = np.isfinite(images).all(axis=(1, 2, 3))
        if attempt is not None:
            allowed &= attempt.charge(numbers) if one_each else attempt.share(numbers, len(images))
        asked = np.flatnonzero(allowed)
        unpaid = self._paid.spending.unpaid
        logits = np.full((len(images), self._paid.reading.num_classes), np.nan, np.float32)
        logits[asked] = self._paid.to(images[asked], self._purpose(attempt))
        if attempt is not None and one_each:
            _settle(attempt, numbers, images, logits)
        elif attempt is not None:
            _settle_shared(attempt, numbers, logits)
        elif self._paid.spending.unpaid > unpaid and not (self._lenient or beside):
            raise spent_error(self._options.max_queries)
        return logits

    def _purpose(self, attempt: Attempt | None) -> Purpose:
        if attempt is not None:
            return "attacks"
        return "audits" if self._lenient else "others"

    def _as_sent(
        self, images: Images, attempt: Attempt | None, numbers: np.ndarray | None
    ) -> Images:
        """Return images with the pixels that the endpoint sees: what is asked is what is judged."""
        levels = self._paid.question.levels
        if levels is None:
            return images
        if attempt is None or numbers is None:
            return rounded(images, levels)
        return attempt.as_sent(numbers, images)


def _settle(attempt: Attempt, numbers: np.ndarray, images: Images, logits: Logits) -> None:
    """Remember what an attack saw; answer the rest as if it had failed there."""
    known = np.isfinite(logits).all(axis=1)
    attempt.see(numbers[known], images[known], logits[known])
    attempt.refuse(numbers[~known])
    logits[~known] = attempt.standing(numbers[~known], logits.shape[1])


def _settle_shared(attempt: Attempt, numbers: np.ndarray, logits: Logits) -> None:
    """Give up all images of which a row was not answered: it would be an answer, class 0."""
    known = np.isfinite(logits).all(axis=1)
    if not known.all():
        attempt.refuse(numbers)
        logits[~known] = 0.0
