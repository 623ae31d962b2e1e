"""The records of what attacks did."""

from __future__ import annotations

from typing import Literal

import pydantic

from tfrobust.files.record_types import AttackParams, Count, Finite, NotNegative, Share, Text
from tfrobust.results.proportions import Proportion, Spread
from tfrobust.results.query_curve import QueryCurve
from tfrobust.types import Norm

NORMS: tuple[Norm, ...] = ("l0", "l1", "l2", "linf")  # in the order of every record


class BudgetedWorstCase(Proportion):
    """The worst case over the attacks of one norm within one budget."""

    norm: Norm
    eps: Finite


class ThreatRecord(pydantic.BaseModel):
    """The threat model of one attack."""

    knowledge: Text
    norm: Norm | None
    targeted: bool


class GradientShares(pydantic.BaseModel):
    """Shares of the images whose first gradient was zero everywhere, or NaN or infinite somewhere.

    An attack that finds no gradient fails for that, and its figure says nothing of robustness.
    """

    zero: Share
    non_finite: Share


class AttackResult(Proportion):
    """What one attack did to one classifier; DESIGN's definitions of every figure."""

    name: Text
    params: AttackParams
    threat: ThreatRecord
    minimum_norm: bool = False
    continued_from: NotNegative | None = None  # the smaller budget that a warm start went on from
    corrective: bool = False  # it corrects images: its accuracy is that of the images it made
    crafted_on: Text | None
    imitated: Text | None = None  # what `crafted_on` is a surrogate of, by its address or name
    success_rate: Share | None
    fooling_ratio: Share
    distance: dict[Norm, Spread]
    gradients: GradientShares | None = None  # where it asked for any
    gradients_per_image: NotNegative
    queries_per_image: NotNegative
    violations: Count
    cut_off: Count | None = None  # images whose attack a budget of queries ended, where there are
    by_queries: QueryCurve | None = None  # of a black-box attack on the classifier itself
    rejected: Share | None = None  # put into a class of nothing known, where there is one
    seconds: NotNegative

    @pydantic.model_validator(mode="after")
    def _measures_every_norm(self) -> AttackResult:
        if set(self.distance) != set(NORMS):
            raise ValueError(f"distance: expected {', '.join(NORMS)}")
        return self


class AdaptiveRecord(pydantic.BaseModel):
    """Why an attack is adaptive, and what it followed.

    Attributes:
        defenses: that declare it, innermost first.
        why: what makes it strong against them.
        source: the paper that broke or examined them.
        follows: whose gradients it used: the declared `surrogate`'s, the classifier's `own`, or
            `none` of them.
        draws: calls of a random classifier that each step averages; 1 of one that is not random.
    """

    defenses: list[Text]
    why: Text = ""
    source: Text = ""
    follows: Literal["surrogate", "own", "none"]
    draws: Count = 1


class AdaptiveResult(AttackResult):
    """What an attack did to a classifier whose defences it knows."""

    adaptive: AdaptiveRecord
