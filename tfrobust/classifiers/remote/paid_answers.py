"""Answers to images: kept ones first, then requests, each paid for; and whose answers they are."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import numpy as np

from tfrobust.classifiers.remote.address import Address
from tfrobust.classifiers.remote.answers import Answers, Key, keys_of
from tfrobust.classifiers.remote.options import RemoteOptions
from tfrobust.classifiers.remote.probe import Probe
from tfrobust.classifiers.remote.protocol import OtherModelError, Outputs
from tfrobust.classifiers.remote.questions import Question
from tfrobust.classifiers.remote.reading import Reading
from tfrobust.classifiers.remote.sending import Sender
from tfrobust.classifiers.remote.spending import Spending
from tfrobust.errors import EndpointError
from tfrobust.meter import Purpose
from tfrobust.types import Images, Logits


class PaidAnswers:
    """Answers of one model, within the budget of the run.

    Args:
        sender: sends.
        question: how images are put.
        reading: what of an answer is read.
        answers: kept ones.
        spending: pays, and counts.
        model: its number among those answers; `None`: answers are not kept, because they are drawn.
        probe: what tells whether it is still the same model.
        remote: how it is asked.
        address: of the model.
    """

    def __init__(
        self,
        sender: Sender,
        question: Question,
        reading: Reading,
        *,
        answers: Answers,
        spending: Spending,
        model: int | None,
        probe: Probe,
        remote: RemoteOptions,
        address: Address,
    ) -> None:
        self.question, self.reading, self.spending = question, reading, spending
        self._sender, self._answers, self._model = sender, answers, model
        self._probe, self._remote, self._address = probe, remote, address
        self._probed = 0  # requests when the probe was last asked
        self._unproven: list[Key] = []  # kept since the probe last agreed
        self._lock = threading.Lock()

    def to(self, images: Images, purpose: Purpose) -> Logits:
        """Return the answers that there are, or that can be paid for; NaN for the others.

        Args:
            images: float32 `(rows, height, width, channels)` in [0, 1].
            purpose: of the questions.

        Raises:
            EndpointError: the endpoint does not answer, or not as it should.
            OtherModelError: another model answers; what it may have answered is not kept.
        """
        try:
            logits = self._to(images, purpose)
            if self._sender.requests - self._probed >= (self._remote.probe_every or math.inf):
                self._probe_again()
        except OtherModelError:
            self._forget_unproven()
            raise
        return logits

    def prove(self) -> None:
        """Ask the probe again, if anything was answered since it last agreed.

        Raises:
            EndpointError: it is not answered.
            OtherModelError: another model answers; what it may have answered is not kept.
        """
        if not self._unproven:
            return
        try:
            self._probe_again()
        except OtherModelError:
            self._forget_unproven()
            raise

    def _to(self, images: Images, purpose: Purpose) -> Logits:
        keys = keys_of(images)
        slot, first = self._distinct(keys)
        distinct = [keys[row] for row in first.tolist()]
        found = np.full((len(distinct), self.reading.num_classes), np.nan, np.float32)
        missing = np.ones(len(distinct), bool)
        if self._model is not None and distinct:
            positions, kept = self._answers.read(self._model, distinct, found.shape[1])
            found[positions], missing[positions] = kept, False
        left = np.flatnonzero(missing)
        chosen = left[: self.spending.pay(len(left), purpose)]
        unpaid = int(np.isin(slot, left[len(chosen) :]).sum())
        self.spending.spare(len(images) - len(chosen) - unpaid, purpose)

        def answered(rows: np.ndarray, outputs: Outputs) -> None:
            asked = chosen[rows]
            found[asked] = logits = self.reading.logits(outputs, len(rows))
            self._keep([distinct[position] for position in asked.tolist()], logits)

        if len(chosen):
            self._sender.send(self.question, images[first[chosen]], purpose, answered)
        return found[slot]

    def _distinct(self, keys: list[Key]) -> tuple[np.ndarray, np.ndarray]:
        """Return which question each image belongs to, and the first image of each question.

        Equal images are one question, unless answers are drawn: then each has its own.
        """
        if self._model is None:
            return np.arange(len(keys)), np.arange(len(keys))
        place: dict[Key, int] = {}
        first: list[int] = []
        for row, key in enumerate(keys):
            if place.setdefault(key, len(place)) == len(first):
                first.append(row)
        return np.array([place[key] for key in keys], np.int64), np.array(first, np.int64)

    def _keep(self, keys: list[Key], logits: Logits) -> None:
        if self._model is None:
            return
        self._answers.write(self._model, keys, logits)
        if self._remote.probe_every:
            with self._lock:
                self._unproven += keys

    def _forget_unproven(self) -> None:
        """Remove the answers that another model may have given: nobody knows since when it does."""
        if self._model is not None:
            self._answers.remove(self._model, self._unproven)
        self._unproven.clear()

    def _probe_again(self) -> None:
        """Ask the probe again, where there is a budget for it.

        Raises:
            OtherModelError: the answer is another one.
            EndpointError: there is none.
        """
        if self._model is None or not self.spending.pay(1, "probes"):
            return
        self._probed = self._sender.requests

        def answered(_: np.ndarray, outputs: Outputs) -> None:
            self._probe.compare(self._of_same_form(outputs), self._address)
            self._unproven.clear()

        self._sender.send(self.question, self._probe.image, "probes", answered)

    def _of_same_form(self, outputs: Mapping[str, np.ndarray]) -> Logits:
        """Return the probe's logits; an answer of another form is that of another model."""
        try:
            return self.reading.logits(outputs, 1)
        except EndpointError as error:
            raise OtherModelError(self._address.url, str(error)) from error
