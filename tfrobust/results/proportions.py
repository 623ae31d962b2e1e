"""Shares of images with their intervals, and spreads: what every record of results is made of."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import NotNegative, Share

Interval = tuple[Share, Share]


class Proportion(pydantic.BaseModel):
    """An accuracy with its 95 % Wilson interval."""

    accuracy: Share
    interval: Interval


class Spread(pydantic.BaseModel):
    """Mean and median, `None` over no images."""

    mean: NotNegative | None
    median: NotNegative | None
