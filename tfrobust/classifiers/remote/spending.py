"""What the questions to an endpoint cost, and what they were for."""

from __future__ import annotations

import threading

import numpy as np

from tfrobust.classifiers.remote.answers import Answers
from tfrobust.meter import Asked, Purpose
from tfrobust.types import Flags


class Spending:
    """Pays for questions before they leave, from the budget of the run.

    Args:
        answers: whose file holds what was spent.
        limit: queries of the whole run; `None`: no limit.

    Attributes:
        by: questions of this endpoint by what they were for; see `QueryCount`.
        repeated: images that were sent again.
        unpaid: images that could not be asked, because the budget was spent.
    """

    def __init__(self, answers: Answers, limit: int | None) -> None:
        self._answers, self.limit = answers, limit
        self._lock = threading.Lock()
        self.repeated = self.unpaid = 0
        self.by: dict[Purpose, Asked] = {
            "probes": Asked(),
            "attacks": Asked(),
            "audits": Asked(),
            "others": Asked(),
        }

    @property
    def sent(self) -> int:
        """Images that have left in the whole run."""
        return self._answers.spent

    def pay(self, count: int, purpose: Purpose) -> int:
        """Pay for images that have not left before; return how many there is a budget for."""
        granted = self._reserve(count)
        self._add(purpose, sent=granted)
        return granted

    def pay_again(self, rows: np.ndarray) -> Flags:
        """Pay for rows that are sent once more; return which may be, bool `(rows,)`.

        By the run's budget, not by the images' own: an image must not be given up because a server
        was busy.
        """
        granted = self._reserve(len(rows))
        with self._lock:
            self.repeated += granted
        return np.arange(len(rows)) < granted

    def take_back(self, count: int, purpose: Purpose, *, again: bool = False) -> None:
        """Take back what was paid for images that certainly never left; `again`: once more."""
        if not count:
            return
        self._answers.give_back(count)
        if again:
            with self._lock:
                self.repeated -= count
        else:
            self._add(purpose, sent=-count)

    def spare(self, count: int, purpose: Purpose) -> None:
        """Count questions whose answers were kept."""
        self._add(purpose, kept=count)

    def _reserve(self, count: int) -> int:
        granted = self._answers.reserve(count, self.limit) if count else 0
        with self._lock:
            self.unpaid += count - granted
        return granted

    def _add(self, purpose: Purpose, *, sent: int = 0, kept: int = 0) -> None:
        with self._lock:
            before = self.by[purpose]
            self.by[purpose] = Asked(before.sent + sent, before.kept + kept)
