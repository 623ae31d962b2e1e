"""What one certifier proves of one classifier, by itself and beside attacks.

Certified accuracy within a radius is the share of all images that are read rightly, and provably so
within that radius: a lower bound of the accuracy under any attack.
"""

from __future__ import annotations

from typing import Annotated, Any

import pydantic

from tfrobust.files.record_types import AttackParams, Count, NotNegative, Positive, Share, Text
from tfrobust.results.proportions import Proportion, Spread
from tfrobust.types import Norm

Confidence = Annotated[float, pydantic.Field(gt=0, lt=1, allow_inf_nan=False)]


class CertifiedWithin(Proportion):
    """Certified accuracy within a radius."""

    eps: Positive


class CertificateResult(pydantic.BaseModel):
    """What one certifier proves of one classifier.

    Attributes:
        name: of the certifier.
        params: its options.
        norm: of its radii.
        variant: how what was certified differs from the classifier, such as `+ noise σ=0.25`, to be
            read after its name: nothing is proven of the classifier as it answers. `None`: those
            answers were certified.
        clean: accuracy of that variant; `None`: there is none, or the certifier does not tell.
        confidence: with which probability each radius holds, for itself; `None`: it is proven.
        within: certified accuracy at each radius that was asked about.
        certified: share of all images with a radius above 0.
        abstained: share of all images whose answer was too close to call.
        radius: over the images with a radius above 0.
        average_radius: over all images, 0 where nothing is certified.
        least: distance of the nearest wrong image, over those where it was found; `None`: it was
            not searched for.
        complete: share of all images for which that search ended.
        contradictions: images that were answered wrongly within their radius: the certifier, or
            what measured that, is wrong. Of radii that hold with a probability, where there are
            more than chance allows for: with probability 0.001 at most.
        by_chance: the same where there are no more than that, or the classifier answered by a few
            draws.
        passes_per_image: forward passes, where the certifier tells.
        seconds: wall-clock time, tracing included.
    """

    name: Text
    params: AttackParams
    norm: Norm
    variant: Text | None = None
    clean: Proportion | None = None
    confidence: Confidence | None = None
    within: list[CertifiedWithin]
    certified: Share
    abstained: Share
    radius: Spread
    average_radius: NotNegative
    least: Spread | None = None
    complete: Share | None = None
    contradictions: Count = 0
    by_chance: Count = 0
    passes_per_image: NotNegative | None = None
    seconds: NotNegative


class CertificateBesideAttacks(CertificateResult):
    """A certificate between whose accuracy and that under attack the truth lies.

    Attributes:
        attacked: accuracy under all attacks of the run, an image counting as broken at the
            distance that was measured, at the radii of `within`.
        contradicted_by: the attacks that found what the certifier excludes.
    """

    attacked: list[Proportion]
    contradicted_by: list[Text] = []

    @pydantic.model_validator(mode="after")
    def _is_parallel(self) -> CertificateBesideAttacks:
        if len(self.attacked) != len(self.within):
            raise ValueError("attacked: expected one accuracy for each radius")
        return self


def options_text(params: dict[str, Any]) -> str:
    """Return options as a line: `n=1000, norm=l2`."""
    return ", ".join(f"{name}={value}" for name, value in params.items())
