"""An endpoint that is asked within a budget: kept answers first, then requests, each paid for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.answers import Answers, Key, keys_of
from tfrobust.classifiers.remote.attempts import Attempt
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.probe import Probe
from tfrobust.classifiers.remote.protocol import OtherModelError
from tfrobust.classifiers.remote.reading import Question, Reading, in_range
from tfrobust.classifiers.remote.sending import Sender, spent_error
from tfrobust.errors import EndpointError
from tfrobust.meter import Goal, QueryCount
from tfrobust.types import Flags, Images, Logits

_GAP = 0.5  # seconds between what is told of the spending


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
        self._unproven: list[Key] = []  # kept since the probe last agreed
        self._attempt: Attempt | None = None
        self._lenient = False
        self._unpaid = self._cached = 0
        self._counting = threading.Lock()
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
        return QueryCount(
            sent=self._answers.spent,
            cached=self._cached,
            limit=self.options.max_queries,
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
            OtherModelError: another model answers; what it may have answered is not kept.
        """
        with self._lock:
            try:
                logits = self._ask(images, numbers)
                self._probe_again()
            except OtherModelError:
                self._forget_unproven()
                raise
        if self._changed and time.monotonic() - self._told > _GAP:
            self._told = time.monotonic()
            self._changed(self.count)
        return logits

    def _ask(self, images: Images, numbers: np.ndarray) -> Logits:
        attempt = self._attempt if len(numbers) else None
        allowed = np.isfinite(images).all(axis=(1, 2, 3))
        if attempt is not None:
            allowed &= attempt.charge(numbers, len(images))
        asked = np.flatnonzero(allowed)
        unpaid = self._unpaid
        logits = np.full((len(images), self.reading.num_classes), np.nan, np.float32)
        logits[asked] = self._answered(images[asked])
        if attempt is not None:
            self._settle(attempt, numbers, images, logits)
        elif self._unpaid > unpaid and not self._lenient:
            raise spent_error(self.options.max_queries)
        return logits

    def _settle(
        self, attempt: Attempt, numbers: np.ndarray, images: Images, logits: Logits
    ) -> None:
        """Remember what an attack saw; answer the rest as if it had failed there."""
        known = np.isfinite(logits).all(axis=1)
        if len(numbers) == len(images):
            attempt.see(numbers[known], images[known], logits[known])
            attempt.refuse(numbers[~known])
            logits[~known] = attempt.standing(numbers[~known], logits.shape[1])
        elif not known.all():
            attempt.refuse(numbers)  # all of them: zeros would be an answer, class 0
            logits[~known] = 0.0

    def _answered(self, images: Images) -> Logits:
        """Return the answers that there are, or that can be paid for; NaN for the others.

        Args:
            images: float32 `(rows, height, width, channels)`.
        """
        keys, place = keys_of(images), dict[Key, int]()
        slot = np.array([place.setdefault(key, len(place)) for key in keys], np.int64)
        distinct = list(place)
        first = np.full(len(distinct), len(images))
        np.minimum.at(first, slot, np.arange(len(images)))
        found = np.full((len(distinct), self.reading.num_classes), np.nan, np.float32)
        missing = np.ones(len(distinct), bool)
        if self._model is not None and distinct:
            positions, kept = self._answers.read(self._model, distinct, found.shape[1])
            found[positions], missing[positions] = kept, False
            self._cached += len(positions)
        left = np.flatnonzero(missing)
        chosen = left[: self._reserve(len(left))]
        if len(chosen):
            rows = first[chosen]
            pixels = in_range(images[rows], self._range)
            for sent in self._sender.send(self._question, pixels, self._pay_again):
                if len(sent.rows):
                    answered = chosen[sent.rows]
                    found[answered] = self.reading.logits(sent.outputs, len(sent.rows))
                    self._keep([distinct[k] for k in answered.tolist()], found[answered])
        return found[slot]

    def _keep(self, keys: list[Key], logits: Logits) -> None:
        if self._model is not None:
            self._answers.write(self._model, keys, logits)
            if self.options.probe_every:
                self._unproven += keys

    def _forget_unproven(self) -> None:
        """Remove the answers that another model may have given: nobody knows since when it does."""
        if self._model is not None:
            self._answers.remove(self._model, self._unproven)
        self._unproven.clear()

    def _reserve(self, count: int) -> int:
        """Pay for images, and count those that cannot be paid for."""
        granted = self._answers.reserve(count, self.options.max_queries) if count else 0
        with self._counting:
            self._unpaid += count - granted
        return granted

    def _pay_again(self, rows: np.ndarray) -> Flags:
        """Pay for images that are sent once more: by the run's budget, not by the images' own.

        An image must not be given up because a server was busy.
        """
        return np.arange(len(rows)) < self._reserve(len(rows))

    def _probe_again(self) -> None:
        """Ask the probe again, once enough requests have left.

        Raises:
            OtherModelError: the answer is another one.
            EndpointError: there is none.
        """
        every, requests = self.options.probe_every, self._sender.requests
        if self._model is None or not every or requests - self._probed < every:
            return
        if not self._answers.reserve(1, self.options.max_queries):
            return
        self._probed = requests
        pixels = in_range(self._probe.image, self._range)
        for sent in self._sender.send(self._question, pixels, self._pay_again):
            if len(sent.rows):
                self._probe.compare(self._of_same_form(sent.outputs), self.address)
                self._unproven.clear()

    def _of_same_form(self, outputs: Mapping[str, np.ndarray]) -> Logits:
        """Return the probe's logits; an answer of another form is that of another model."""
        try:
            return self.reading.logits(outputs, 1)
        except EndpointError as error:
            raise OtherModelError(self.address.url, str(error)) from error
