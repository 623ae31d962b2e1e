"""What the answers of an endpoint cost, for `results.json` and its reader."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from tfrobust.classifier import Classifier
from tfrobust.evaluation.settings import Progress
from tfrobust.meter import QueryCount
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.records import Results
from tfrobust.results.spending import Asked, Spending


def spending_of(classifier: Classifier) -> Spending | None:
    """Return what the answers of a classifier cost; `None` where they cost nothing."""
    if classifier.meter is None:
        return None
    count = classifier.meter.count
    left = None if count.limit is None else max(0, count.limit - count.sent)
    return Spending(
        sent=count.sent,
        cached=count.cached,
        limit=count.limit,
        left=left,
        per_image=count.per_image,
        by={purpose: Asked(**dataclasses.asdict(asked)) for purpose, asked in count.by.items()},
        repeated=count.repeated,
    )


def spending_notes(results: Results) -> Iterator[str]:
    """Yield a line for each endpoint: how much it was asked, and what for.

    Example:
        >>> list(spending_notes(results))
        ['http://…: 206 queries left (probes 3, attacks 172, audits 25, others 6); kept answers …']
    """
    for evaluation in results.evaluations:
        spending = evaluation.spending
        if spending is None or not spending.by:
            continue
        sent = sum(asked.sent for asked in spending.by.values()) + spending.repeated
        parts = [f"{purpose} {asked.sent:,}" for purpose, asked in spending.by.items()]
        parts += [f"sent again {spending.repeated:,}"] if spending.repeated else []
        kept = spending.by["attacks"].kept
        yield (
            f"{evaluation.classifier.name}: {sent:,} queries left ({', '.join(parts)}); kept "
            f"answers served {kept:,} of {kept + spending.by['attacks'].sent:,} that attacks asked"
        )


def spending_warnings(
    name: str, classifier: Classifier, attacks: Sequence[AttackResult]
) -> Iterator[str]:
    """Yield what a spent budget means for the figures.

    Args:
        name: of the classifier.
        classifier: whose answers cost.
        attacks: that were run on it.
    """
    if classifier.meter is None or not (count := classifier.meter.count).unpaid:
        return
    cut = [f"{attack.cut_off} of {attack.name}" for attack in attacks if attack.cut_off]
    yield (
        f"{name}: the budget of {count.limit} queries is spent"
        + (f"; attacks that it ended: {', '.join(cut)} images" if cut else "")
        + "; such an image counts as broken only if an adversarial one was seen before; the same "
        "command with a larger --max-queries goes on"
    )


def spent_line(count: QueryCount) -> str:
    """Return what was spent and what is left, in a few words.

    Example:
        >>> spent_line(QueryCount(sent=1200, cached=30, limit=5000))
        '1,200 of 5,000 queries'
    """
    limit = "" if count.limit is None else f" of {count.limit:,}"
    return f"{count.sent:,}{limit} queries"


class LiveSpending:
    """Shows beside the progress of an attack what its questions have cost.

    Args:
        progress: receives how far the attack is; `None`: nobody looks.
        classifier: that is attacked.

    Attributes:
        progress: what the attack is to tell instead.
    """

    def __init__(self, progress: Progress | None, classifier: Classifier) -> None:
        self._meter, self._progress = classifier.meter, progress
        self._last: tuple[str, int, int] | None = None
        costs = progress is not None and self._meter is not None
        self.progress: Progress | None = self._seen if costs else progress

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the attack is run inside."""
        if self._meter is None or self._progress is None:
            yield
            return
        with self._meter.watched(self._show):
            yield

    def _seen(self, what: str, done: int, total: int) -> None:
        self._last = what, done, total
        if self._meter is not None:
            self._show(self._meter.count)

    def _show(self, count: QueryCount) -> None:
        if self._last is not None and self._progress is not None:
            what, done, total = self._last
            self._progress(f"{what} — {spent_line(count)}", done, total)


def unpaid_by(classifier: Classifier) -> int:
    """Return how many images could not be asked so far, because the run's budget was spent."""
    return 0 if classifier.meter is None else classifier.meter.count.unpaid
