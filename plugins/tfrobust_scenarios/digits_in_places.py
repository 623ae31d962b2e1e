"""Handwritten digits in places: small pictures with an object, a box around it, and a context.

Each place is a weave of stripes of its own direction and width, one for each digit. A digit stands
somewhere in it, in its own place in most pictures and in any place in the others, so that the place
tells the digit, but not for sure. With `shows` the digits come alone, or the places.

No publication: a stand-in for COCO (Akumalla, Haney & Bazhenov 2020) that needs no download, on
which fusion and attacks within boxes can be tried in seconds. The digits are scikit-learn's.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np

from tfrobust.data.boxes import of_pixels
from tfrobust.data.in_memory import Arrays, InMemoryScenario
from tfrobust.data.reading import arrays
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.types import ImageShape

_SIDE = 24
_PLACES = 10
_DIM = 0.6  # the brightest a place gets
_GRAIN = 0.08  # standard deviation of its noise


@plugin
class DigitsInPlaces(InMemoryScenario):
    """24×24 grey digits in striped places, with boxes; nothing to download."""

    has_boxes = True

    shows: Literal["both", "digits", "places"] = option(
        "digits in places, digits on black, or places alone", default="both"
    )
    agreement: float = option(
        "share of digits in their own place; others are random",
        default=0.9,
        ge=0,
        le=1,
    )

    @property
    def image_shape(self) -> ImageShape:
        """24×24, grey."""
        return _SIDE, _SIDE, 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """The digits, or the places that belong to them."""
        digits = tuple("0123456789")
        return tuple(f"place of {digit}" for digit in digits) if self.shows == "places" else digits

    @property
    def splits(self) -> tuple[str, ...]:
        """1,437 training and 360 test pictures."""
        return "train", "test"

    def split_arrays(self, split: str) -> Arrays:
        """Return one split with `boxes` `(n, 1, 4)` where it shows digits; see `Scenario.load`."""
        return _drawn(self, split)


@functools.lru_cache(maxsize=4)
def _drawn(scenario: DigitsInPlaces, split: str) -> Arrays:
    """Return the pictures of a split; drawing them takes longer than reading them."""
    digits, labels = arrays(create("scenarios", "digits"), split)
    random = np.random.default_rng(scenario.splits.index(split))
    agreeing = random.uniform(size=len(labels)) < scenario.agreement
    place = np.where(agreeing, labels, random.integers(_PLACES, size=len(labels)))
    corners = random.integers(_SIDE - digits.shape[1] + 1, size=(len(labels), 2))
    drawn = np.stack([_weave(weave, random) for weave in place])
    if scenario.shows == "places":
        return {"image": drawn, "label": place}
    images = drawn if scenario.shows == "both" else np.zeros_like(drawn)
    boxes = np.stack([_put(*placed) for placed in zip(images, digits, corners, strict=True)])
    return {"image": images, "label": labels, "boxes": boxes[:, np.newaxis]}


def _weave(place: int, random: np.random.Generator) -> np.ndarray:
    """Draw a place, `(24, 24, 1)`: two sets of stripes, which begin anywhere."""
    angle = np.pi * place / _PLACES
    y, x = np.mgrid[:_SIDE, :_SIDE] / _SIDE
    along = x * np.cos(angle) + y * np.sin(angle)
    stripes = np.cos(2 * np.pi * ((3 + place % 3) * along + random.uniform()))
    shaded = _DIM * (0.5 + 0.4 * stripes) + random.normal(0, _GRAIN, stripes.shape)
    return np.clip(shaded, 0, 1)[..., np.newaxis].astype(np.float32)


def _put(image: np.ndarray, digit: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Lay a digit over a picture, in place, and return its box: white hides what lies behind."""
    top, left = map(int, corner)
    height, width, _ = digit.shape
    behind = image[top : top + height, left : left + width]
    behind[...] = behind * (1 - digit) + digit
    return of_pixels(left, top, left + width, top + height, (_SIDE, _SIDE))
