"""What a retraining's collecting and crafting are told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from tfrobust.attack import Attack
from tfrobust.types import TargetRule

LabelSource = Literal["knn", "true", "network"]
Originals = Literal["known", "unknown"]
Fooling = Literal["class", "clusters", "drop"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetrainingOptions:
    """How adversarial images are crafted and labelled; the options of `Retraining` explain each.

    Attributes:
        attack: whose images are collected.
        attack_name: what the user calls it, for messages.
        targets: target classes, if it is targeted.
        adversarial_images: number of them; `None`: one per training image.
        labels: where labels come from.
        originals: whether the original images are possible neighbours.
        k: number of neighbours that vote.
        dimensions: principal components of the neighbour search; `None`: 300, or all if fewer.
        fooling: what becomes of images unlike all known ones.
        clusters: number of new classes for `fooling=clusters`.
        quantile: of distances between clean images, beyond which an image is unlike all known ones.
        new_classes: names of the classes that fooling images may be put into.
    """

    attack: Attack
    attack_name: str
    targets: TargetRule
    adversarial_images: int | None
    labels: LabelSource
    originals: Originals
    k: int
    dimensions: int | None
    fooling: Fooling
    clusters: int
    quantile: float
    new_classes: tuple[str, ...]
