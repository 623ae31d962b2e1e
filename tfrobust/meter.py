"""The `Meter` contract: counts what is asked of a classifier whose answers cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import numpy as np

from tfrobust.types import Flags, Images, Labels, Norm


@dataclasses.dataclass(frozen=True)
class Goal:
    """What an attack wants of its images.

    Attributes:
        labels: int64 `(n,)`: the classes to leave, or to reach where `targeted`.
        targeted: which of the two.
        norm: of the distance that counts; `None`: in none.
        budget: the largest distance that counts; `None`: any.
    """

    labels: Labels
    targeted: bool
    norm: Norm | None
    budget: float | None


Purpose = Literal["probes", "attacks", "audits", "others"]


@dataclasses.dataclass(frozen=True)
class Asked:
    """Questions for one purpose: `sent` ones have left, the answers to `kept` ones were there."""

    sent: int = 0
    kept: int = 0


@dataclasses.dataclass(frozen=True)
class QueryCount:
    """What a metered classifier has cost so far.

    Attributes:
        sent: images that have left, those that were sent again too; of all metered classifiers of
            the run, interruptions included.
        cached: questions whose answers were kept and not asked again, of this classifier and
            process.
        limit: of those that leave; `None`: none.
        per_image: limit of what one attack may ask about one image; `None`: none.
        unpaid: images that could not be asked, because the limit was reached.
        repeated: images that were sent again, because a request had failed; of this classifier and
            process.
        by: the questions of this classifier and process, by what they were for: `probes` whether it
            is still the same model, `attacks`, `audits` of what those made, and `others`: clean
            images, and the checks when it is loaded.
    """

    sent: int
    cached: int
    limit: int | None = None
    per_image: int | None = None
    unpaid: int = 0
    repeated: int = 0
    by: Mapping[Purpose, Asked] = dataclasses.field(default_factory=dict)


class Counting(Protocol):
    """What one attack asks about its images; see `Meter.attempt`."""

    asked: int

    @property
    def cut_off(self) -> int:
        """How many images got no answers in the end, because a budget was spent."""

    def settled(self, crafted: Images) -> Images:
        """Return what the attack made; of images that were cut off, the best that was seen."""


class Meter(Protocol):
    """Counts what a classifier is asked, where each answer costs.

    While an attack is run, an image whose budget is spent is answered as if the attack had failed.
    Outside of attacks, a question that cannot be paid for raises `BudgetSpentError`.
    """

    @property
    def count(self) -> QueryCount:
        """What was spent so far."""

    def attempt(self, images: Images, goal: Goal) -> AbstractContextManager[Counting]:
        """Count what is asked inside for each image of one attack.

        Args:
            images: float32 `(n, height, width, channels)`; `tfrobust.classifiers.asking` holds
                their numbers 0 … n − 1.
            goal: of the attack.
        """

    def refused(self, numbers: np.ndarray) -> Flags:
        """Return which of these images get no answers any more, bool."""

    def watched(self, changed: Callable[[QueryCount], object]) -> AbstractContextManager[None]:
        """Tell how much is spent, now and then, while something is asked inside."""

    def lenient(self) -> AbstractContextManager[None]:
        """Answer NaN inside, where a question of an audit cannot be paid for."""

    def prove(self) -> None:
        """Ask, at the end of a run, whether all its answers are those of one model.

        Raises:
            EndpointError: they are not.
        """
