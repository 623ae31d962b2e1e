"""The record of a classifier's errors under corruptions."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import Finite, NotNegative, Share, Text


class CorruptionErrors(pydantic.BaseModel):
    """One classifier's errors under the fifteen corruptions; see `evaluation.corruptions`.

    The ratios are `None` without a baseline, and where there is nothing to divide by.
    """

    classifier: Text
    clean: Share
    errors: dict[Text, list[Share]] = pydantic.Field(min_length=1)  # corruption → at each severity
    mean: dict[Text, Share]  # corruption → mean of these
    mce: Share
    baseline: Text | None = None
    ratio: dict[Text, NotNegative | None] = {}  # corruption → error as a share of the baseline's
    mce_ratio: NotNegative | None = None
    relative_mce_ratio: Finite | None = None

    @pydantic.model_validator(mode="after")
    def _is_rectangular(self) -> CorruptionErrors:
        if len({len(severities) for severities in self.errors.values()}) != 1 or not all(
            self.errors.values()
        ):
            raise ValueError("errors: expected as many severities of each corruption")
        if set(self.mean) != set(self.errors):
            raise ValueError("mean: expected one of each corruption")
        return self
