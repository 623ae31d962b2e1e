"""The classifier that a surrogate imitates, asked within a budget."""

from __future__ import annotations

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.errors import BudgetSpentError
from tfrobust.pipeline.distillation_rounds import KeptRounds
from tfrobust.types import Images, Logits

_TOGETHER = 256  # images in one call


class Teacher:
    """Answers questions about images, as long as they can be paid for.

    Args:
        classifier: an endpoint, which counts by itself, or a local one.
        name: for messages and cards.
        kept: images and answers of earlier rounds.
        limit: of the images that a local classifier is asked about; `None`: none.
    """

    def __init__(
        self, classifier: Classifier, name: str, kept: KeptRounds, limit: int | None
    ) -> None:
        self.name, self.kept = name, kept
        self._classifier, self._limit, self._answered = classifier, limit, 0

    @property
    def decisions_only(self) -> bool:
        """Whether it tells the label and nothing else."""
        return self._classifier.decisions_only

    @property
    def spent(self) -> int:
        """Queries that have left for an endpoint; images that a local one was asked about."""
        meter = self._classifier.meter
        return self._answered if meter is None else meter.count.sent

    @property
    def left(self) -> int | None:
        """How many images can be asked about; `None`: as many as are wanted.

        Of an endpoint's queries one is set aside: whether it is still the same model.
        """
        meter = self._classifier.meter
        limit = self._limit if meter is None else meter.count.limit
        return None if limit is None else max(0, limit - self.spent - (meter is not None))

    def answers(self, name: str, images: Images, *, all_of_them: bool = False) -> Logits:
        """Return the logits of a round's images, float32 `(n, classes)`; NaN: not paid for.

        Args:
            name: of the round.
            images: float32 `(n, height, width, channels)` in [0, 1].
            all_of_them: whether the answers are of no use if one is missing.

        Raises:
            BudgetSpentError: one is missing.
            EndpointError: another model answers than at the start; nothing of the round is kept.
        """
        answers = self.kept.answers(name, images, self._classifier.num_classes, self._ask)
        answered = np.isfinite(answers).all(axis=1)
        if all_of_them and not answered.all():
            self.kept.forget_answers(name)
            raise BudgetSpentError(
                "the budget does not cover the images to begin with and those held out; give more "
                "by --max-queries, with --resume (what is answered is kept)"
            )
        self._answered += int(answered.sum())
        return answers

    def _ask(self, images: Images) -> Logits:
        meter, left = self._classifier.meter, self.left
        if meter is not None:
            with meter.lenient():
                answers = logits_of(self._classifier, images)
            meter.prove()  # before they are kept: a surrogate is of one model
            return answers
        count = len(images) if left is None else min(left, len(images))
        unpaid = np.full((len(images) - count, self._classifier.num_classes), np.nan, np.float32)
        return np.concatenate([logits_of(self._classifier, images[:count]), unpaid])


def logits_of(classifier: Classifier, images: Images) -> Logits:
    """Return logits, float32 `(n, classes)`, a bounded number of images at a time."""
    starts = range(0, len(images), _TOGETHER)
    batches = [np.asarray(classifier(images[start : start + _TOGETHER])) for start in starts]
    nothing = np.zeros((0, classifier.num_classes), np.float32)
    return np.concatenate([nothing, *batches])
