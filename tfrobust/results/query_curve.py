"""The record of what a black-box attack has reached by how many queries."""

from __future__ import annotations

import pydantic

from tfrobust.files.record_types import Count, NotNegative, Share


class QueryCurve(pydantic.BaseModel):
    """What a black-box attack has reached by how many queries an image.

    Attributes:
        queries: numbers of queries, ascending; by the last one the attack was over.
        accuracy: what is left of it at each, of an attack with a budget or without a norm: an image
            is counted as wrong once the attack has asked an adversarial image within the budget.
        distance: median least distance at each, of an attack that minimises it, over the images
            that were right before; `None` while most of them have no adversarial image.
        accuracy_area: mean accuracy over the logarithm of the queries.
        distance_area: the same of the distance, from where there is one.
        median: the queries by which half of the images that were right had fallen; `None`: they
            had not.
    """

    queries: list[Count] = pydantic.Field(min_length=1)
    accuracy: list[Share] | None = None
    distance: list[NotNegative | None] | None = None
    accuracy_area: Share | None = None
    distance_area: NotNegative | None = None
    median: Count | None = None

    @pydantic.model_validator(mode="after")
    def _fits(self) -> QueryCurve:
        if sorted(set(self.queries)) != self.queries:
            raise ValueError("queries: expected ascending numbers")
        for name, values in (("accuracy", self.accuracy), ("distance", self.distance)):
            if values is not None and len(values) != len(self.queries):
                raise ValueError(f"{name}: expected a value for each number of queries")
        return self
