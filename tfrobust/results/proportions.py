"""Shares of images with their intervals, and spreads: what every record of results is made of."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import NotNegative, Share
from tfrobust.results.metrics import share, wilson
from tfrobust.types import Flags

Interval = tuple[Share, Share]


class Proportion(pydantic.BaseModel):
    """An accuracy with its 95 % Wilson interval."""

    accuracy: Share
    interval: Interval

    @classmethod
    def of(cls, flags: Flags) -> Proportion:
        """Return the share of true entries of bool `(n,)`, one or more, with its interval."""
        return Proportion(accuracy=share(flags), interval=wilson(int(flags.sum()), len(flags)))


class Spread(pydantic.BaseModel):
    """Mean and median, `None` over no images."""

    mean: NotNegative | None
    median: NotNegative | None
