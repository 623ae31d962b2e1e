"""The images that are judged are those that a classifier sees: some see pixels of 8 bits alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.run import Crafted
from tfrobust.norms.levels import rounded_within
from tfrobust.types import Images


def fewest_levels(classifiers: Iterable[Classifier]) -> int | None:
    """Return how many levels the pixels of an evaluation have; `None`: those of floating point."""
    return min(
        (one.pixel_levels for one in classifiers if one.pixel_levels is not None), default=None
    )


def as_sent(crafted: Crafted, classifier: Classifier, attack: Attack, clean: Images) -> Crafted:
    """Return what an attack made as a classifier sees it; see `tfrobust.norms.levels`.

    Args:
        crafted: of the attack, on this classifier or another.
        classifier: that is to be fooled.
        attack: whose ball the images stay in.
        clean: the images before, `(n, height, width, channels)`.
    """
    if classifier.pixel_levels is None:
        return crafted
    norm, budget = attack.threat.norm, attack.budget
    images = rounded_within(clean, crafted.images, classifier.pixel_levels, norm, budget)
    return dataclasses.replace(crafted, images=images)
