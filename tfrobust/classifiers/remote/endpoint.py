"""An endpoint that is asked within a budget: kept answers first, then requests, each paid for."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np

from tfrobust.classifiers.identity import agree
from tfrobust.classifiers.loading import UNIT
from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.answers import Answers, Key, keys_of
from tfrobust.classifiers.remote.attempts import Attempt
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.reading import Question, Reading
from tfrobust.classifiers.remote.sending import Sender, spent_error
from tfrobust.errors import EndpointError
from tfrobust.meter import Goal, QueryCount
from tfrobust.types import Flags, Images, Logits

_SAME = 1e-3  # relative difference of two answers of one model, whatever computes them

_GAP = 0.5  # seconds between what is told of the spending


@dataclasses.dataclass(frozen=True)
class Probe:
    """An image that is asked again and again, and what the model said of it first."""

    image: Images  # (1, height, width, channels)
    answer: Logits  # (1, classes)


class Endpoint:
    """Answers questions about images; see `tfrobust.meter.Meter` for what an attack sees.

    Args:
        address: of the model.
        options: how it is asked.
        sender: sends.
        answers: kept ones, and what is spent.
        model: its number among those answers; `None`: answers are not kept, because they are drawn.
        question: how images are put.
        reading: what of an answer is read.
        pixel_range: the least and the largest pixel that the model takes.
        probe: what tells whether it is still the same model.
    """

    def __init__(
        self,
        address: Address,
        options: RemoteOptions,
        *,
        sender: Sender,
        answers: Answers,
        model: int | None,
        question: Question,
        reading: Reading,
        pixel_range: tuple[float, float],
        probe: Probe,
    ) -> None:
        self.address, self.options, self.reading = address, options, reading
        self._sender, self._answers, self._model = sender, answers, model
        self._question, self._range, self._probe = question, pixel_range, probe
        self._probed = 0  # requests when the probe was last asked
        self._attempt: Attempt | None = None
        self._lenient = False
        self._unpaid = 0
        self._changed: Callable[[QueryCount], object] | None = None
        self._told = 0.0
        self._lock = threading.RLock()

    # What an attack sees: `Meter`.

    @contextlib.contextmanager
    def attempt(self, images: Images, goal: Goal) -> Iterator[Attempt]:
        """Count what one attack asks about each of its images; see `Meter`."""
        before = self._attempt
        self._attempt = Attempt(images, goal, self.options.queries_per_image)
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
        """Answer NaN where nothing can be paid for any more; see `Meter`."""
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
        queries, cached = self._answers.spent
        limit = self.options.max_queries
        return QueryCount(
            sent=queries,
            cached=cached,
            limit=limit,
            per_image=self.options.queries_per_image,
            unpaid=self._unpaid,
        )

    # What the graph calls.

    def ask(self, images: Images, numbers: np.ndarray) -> Logits:
        """Return logits, float32 `(rows, classes)`.

        Args:
            images: float32 `(rows, height, width, channels)` in [0, 1].
            numbers: of the attack's images, see `Attempt.charge`; none: no attack asks.

        Raises:
            BudgetSpentError: no attack asks, and the budget is spent.
            EndpointError: the endpoint does not answer, or not as it should.
        """
        with self._lock:
            logits = self._ask(images, numbers)
        if self._changed and time.monotonic() - self._told > _GAP:
            self._told = time.monotonic()
            self._changed(self.count)
        return logits

    def _ask(self, images: Images, numbers: np.ndarray) -> Logits:
        rows, classes = len(images), self.reading.num_classes
        attempt = self._attempt if len(numbers) else None
        logits = np.full((rows, classes), np.nan, np.float32)
        allowed = np.isfinite(images).all(axis=(1, 2, 3))
        if attempt is not None:
            allowed &= attempt.charge(numbers, rows)
        keys = keys_of(images)
        first = {key: row for row, key in reversed(list(enumerate(keys))) if allowed[row]}
        distinct = sorted(first.values())
        found = self._answered(images, [keys[row] for row in distinct], distinct, numbers)
        for row in np.flatnonzero(allowed).tolist():
            if (answer := found.get(keys[row])) is not None:
                logits[row] = answer
        known = np.isfinite(logits).all(axis=1)
        if attempt is None:
            return self._for_nobody(logits, known)
        self._settle(attempt, numbers, images, logits, known)
        self._probe_again()
        return logits

    def _for_nobody(self, logits: Logits, known: Flags) -> Logits:
        """Return answers that no attack asked for; all of them, unless that is not needed."""
        self._unpaid += int((~known).sum())
        if not (known.all() or self._lenient):
            raise spent_error(self.options.max_queries)
        self._probe_again()
        return logits

    def _settle(
        self, attempt: Attempt, numbers: np.ndarray, images: Images, logits: Logits, known: Flags
    ) -> None:
        """Remember what an attack saw; answer the rest as if it had failed there."""
        if len(numbers) == len(images):
            attempt.see(numbers[known], images[known], logits[known])
            attempt.refuse(numbers[~known])
            logits[~known] = attempt.standing(numbers[~known], logits.shape[1])
        elif not known.all():
            if self._spent:
                attempt.refuse(numbers)
            logits[~known] = 0.0

    @property
    def _spent(self) -> bool:
        limit = self.options.max_queries
        return limit is not None and self._answers.spent[0] >= limit

    def _answered(
        self, images: Images, keys: list[Key], rows: list[int], numbers: np.ndarray
    ) -> dict[Key, np.ndarray]:
        """Return the answers to distinct images that there are, or that can be paid for."""
        classes, found = self.reading.num_classes, dict[Key, np.ndarray]()
        left = np.arange(len(keys))
        if self._model is not None and keys:
            positions, kept = self._answers.read(self._model, keys, classes)
            found = {keys[p]: row for p, row in zip(positions.tolist(), kept, strict=True)}
            left = np.setdiff1d(left, positions, assume_unique=True)
            if len(positions):
                self._answers.count_cached(len(positions))
        granted = self._reserve(len(left))
        self._unpaid += len(left) - granted
        chosen = left[:granted]
        if len(chosen):
            wanted = np.array(rows)[chosen]
            owners = numbers[wanted] if len(numbers) == len(images) else None
            found |= self._sent(images[wanted], [keys[c] for c in chosen.tolist()], owners)
        return found

    def _reserve(self, count: int) -> int:
        return self._answers.reserve(count, self.options.max_queries) if count else 0

    def _sent(
        self, images: Images, keys: list[Key], owners: np.ndarray | None
    ) -> dict[Key, np.ndarray]:
        """Send images that are paid for, and keep each answer as it comes."""
        found: dict[Key, np.ndarray] = {}
        pay_again = self._payer(owners)
        for sent in self._sender.send(self._question, in_range(images, self._range), pay_again):
            if not len(sent.rows):
                continue
            logits = self.reading.logits(sent.outputs, len(sent.rows))
            answered = [keys[row] for row in sent.rows.tolist()]
            if self._model is not None:
                self._answers.write(self._model, answered, logits)
            found |= dict(zip(answered, logits, strict=True))
        return found

    def _payer(self, owners: np.ndarray | None) -> Callable[[np.ndarray], Flags]:
        """Return what pays for images that are sent once more."""
        attempt = self._attempt

        def pay_again(rows: np.ndarray) -> Flags:
            allowed = np.ones(len(rows), bool)
            if attempt is not None and owners is not None:
                allowed = attempt.charge_again(owners[rows])
            granted = self._reserve(int(allowed.sum()))
            allowed[np.flatnonzero(allowed)[granted:]] = False
            return allowed

        return pay_again

    def _probe_again(self) -> None:
        """Ask the probe again, once enough requests have left.

        Raises:
            EndpointError: the answer is another one.
        """
        every, requests = self.options.probe_every, self._sender.requests
        if self._model is None or not every or requests - self._probed < every:
            return
        if not self._reserve(1):
            return
        answer = self._fresh(self._probe.image)
        self._probed = self._sender.requests
        if answer is not None and not agree(answer, self._probe.answer, _SAME).all():
            raise changed(self.address)

    def _fresh(self, image: Images) -> Logits | None:
        """Return the answer to one image that is paid for, past the cache."""
        for sent in self._sender.send(
            self._question, in_range(image, self._range), self._payer(None)
        ):
            if len(sent.rows):
                return self.reading.logits(sent.outputs, len(sent.rows))
        return None


def in_range(images: Images, pixel_range: tuple[float, float]) -> Images:
    """Return images in [0, 1] with the pixels that the model was made for."""
    least, most = pixel_range
    if (least, most) == UNIT:
        return images
    return images * np.float32(most - least) + np.float32(least)


def changed(address: Address) -> EndpointError:
    """Return the error of an endpoint that answers otherwise than it did."""
    return EndpointError(
        f"{address.url}: answers otherwise than at the start of the run: another version is "
        "served, or the model draws at random; figures of both would be mixed, so the run ends "
        "here. Repeat the command for the new version, or name one: …/versions/N"
    )
