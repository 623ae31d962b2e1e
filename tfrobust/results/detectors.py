"""The records of how well detectors tell attacked images from clean ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydantic

from tfrobust.files.record_types import Count, Finite, NotNegative, Share, Text
from tfrobust.types import Norm, PerImage


class Moments(pydantic.BaseModel):
    """Mean and variance of the scores of one kind of images."""

    mean: Finite
    variance: NotNegative

    @classmethod
    def of(cls, values: PerImage) -> Moments:
        """Return those of `(n,)` values."""
        exact = np.asarray(values, np.float64)
        return cls(mean=float(exact.mean()), variance=float(exact.var()))


class OverFooling(pydantic.BaseModel):
    """How well a detector tells the images that fooled the classifier from clean ones.

    An attacked image that fools nobody is hardly adversarial. `None` where the attack fooled with
    no image; `accuracy` weights clean and fooling images equally.
    """

    images: Count
    auroc: Share | None = None
    tpr_at_5_fpr: Share | None = None
    accuracy: Share | None = None
    adversarial: Moments | None = None


class FittedOn(pydantic.BaseModel):
    """How many training images a detector learned from, and which attacked ones.

    `fooling` of them fooled the classifier; where those are enough it learned from them alone.
    """

    clean: Count
    adversarial: Count
    fooling: Count
    only_fooling: bool


class DetectorResult(pydantic.BaseModel):
    """How well one detector tells one attack's images from clean ones.

    The figures are over all attacked images, those of `fooled` over the ones that fooled the
    classifier. Older results tell neither those nor their numbers, nor the attack's budget.
    """

    name: Text
    params: dict[str, Any]
    attack: Text
    norm: Norm | None = None
    eps: Finite | None = None
    auroc: Share
    tpr_at_5_fpr: Share
    accuracy: Share
    threshold: Finite
    clean: Moments
    adversarial: Moments
    attacked: Count | None = None
    fooled: OverFooling | None = None
    fitted_on: FittedOn | None = None
