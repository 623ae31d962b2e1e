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
from tfrobust.classifiers.remote.protocol import OtherModelError
from tfrobust.classifiers.remote.questions import Question
from tfrobust.classifiers.remote.reading import Reading
from tfrobust.classifiers.remote.sending import Sender
from tfrobust.errors import EndpointError
from tfrobust.meter import Asked, Purpose
from tfrobust.types import Flags, Images, Logits


class PaidAnswers:
    """Answers of one model, within the budget of the run.

    Args:
        sender: sends.
        question: how images are put.
        reading: what of an answer is read.
        answers: kept ones, and what is spent.
        model: its number among those answers; `None`: answers are not kept, because they are drawn.
        probe: what tells whether it is still the same model.
        remote: how it is asked.
        address: of the model.
        probed: questions that have been asked about the probe.

    Attributes:
        by: questions by what they were for; see `QueryCount`.
        repeated: images that were sent again.
        unpaid: images that could not be asked, because the budget of the run was spent.
    """

    def __init__(
        self,
        sender: Sender,
        question: Question,
        reading: Reading,
        *,
        answers: Answers,
        model: int | None,
        probe: Probe,
        remote: RemoteOptions,
        address: Address,
        probed: int,
    ) -> None:
        self.question, self.reading = question, reading
        self._sender, self._answers, self._model = sender, answers, model
        self._probe, self._remote, self._address = probe, remote, address
        self._probed = 0  # requests when the probe was last asked
        self._unproven: list[Key] = []  # kept since the probe last agreed
        self._counting = threading.Lock()
        self.repeated = self.unpaid = 0
        self.by: dict[Purpose, Asked] = {
            "probes": Asked(sent=probed),
            "attacks": Asked(),
            "audits": Asked(),
            "others": Asked(),
        }

    @property
    def sent(self) -> int:
        """Images that have left in the whole run."""
        return self._answers.spent

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
        left = np.flatnonzero(missing)
        chosen = left[: self._reserve(len(left))]
        unpaid = int(np.isin(slot, left[len(chosen) :]).sum())
        self._count(purpose, len(chosen), len(images) - len(chosen) - unpaid)
        if len(chosen):
            rows = first[chosen]
            for sent in self._sender.send(self.question, images[rows], self._pay_again):
                if len(sent.rows):
                    answered = chosen[sent.rows]
                    found[answered] = self.reading.logits(sent.outputs, len(sent.rows))
                    self._keep([distinct[k] for k in answered.tolist()], found[answered])
        return found[slot]

    def _count(self, purpose: Purpose, sent: int, kept: int) -> None:
        before = self.by[purpose]
        self.by[purpose] = Asked(before.sent + sent, before.kept + kept)

    def _keep(self, keys: list[Key], logits: Logits) -> None:
        if self._model is not None:
            self._answers.write(self._model, keys, logits)
            if self._remote.probe_every:
                self._unproven += keys

    def _forget_unproven(self) -> None:
        """Remove the answers that another model may have given: nobody knows since when it does."""
        if self._model is not None:
            self._answers.remove(self._model, self._unproven)
        self._unproven.clear()

    def _reserve(self, count: int) -> int:
        """Pay for images, and count those that cannot be paid for."""
        granted = self._answers.reserve(count, self._remote.max_queries) if count else 0
        with self._counting:
            self.unpaid += count - granted
        return granted

    def _pay_again(self, rows: np.ndarray) -> Flags:
        """Pay for images that are sent once more: by the run's budget, not by the images' own.

        An image must not be given up because a server was busy.
        """
        granted = self._reserve(len(rows))
        with self._counting:
            self.repeated += granted
        return np.arange(len(rows)) < granted

    def _probe_again(self) -> None:
        """Ask the probe again, where there is a budget for it.

        Raises:
            OtherModelError: the answer is another one.
            EndpointError: there is none.
        """
        if self._model is None or not self._answers.reserve(1, self._remote.max_queries):
            return
        self._probed = self._sender.requests
        self._count("probes", 1, 0)
        for sent in self._sender.send(self.question, self._probe.image, self._pay_again):
            if len(sent.rows):
                self._probe.compare(self._of_same_form(sent.outputs), self._address)
                self._unproven.clear()

    def _of_same_form(self, outputs: Mapping[str, np.ndarray]) -> Logits:
        """Return the probe's logits; an answer of another form is that of another model."""
        try:
            return self.reading.logits(outputs, 1)
        except EndpointError as error:
            raise OtherModelError(self._address.url, str(error)) from error
