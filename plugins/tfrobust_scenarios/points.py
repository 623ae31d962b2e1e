"""Points of a plane as images of one pixel with two channels, across and up.

Two circles about one centre, which no line separates; and two ellipses that overlap, filled or as
outlines. Of the ellipses there are also those points of each that lie outside the other
(`ellipses_apart`), and those that lie inside the other (`ellipses_overlap`; of filled ellipses,
those nearer the other's centre). A network that learned the first gets the second wrong: they lie
on the other's side.

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), figures 3 and 4.
Departures: it gives neither sizes nor counts, and does not say that its ellipses are outlines. But
only then are all points of one class that lie inside the other's ellipse on the other's side, as
its 0 % says; of filled ones half would be, and here they are chosen.
"""

from __future__ import annotations

import abc
from typing import Literal

import numpy as np

from tfrobust.data.in_memory import Arrays, InMemoryScenario
from tfrobust.options import option, plugin
from tfrobust.types import ImageShape

_COUNTS = {"train": 2000, "test": 400}  # points of both classes
_RADII = (0.32, 0.12)  # of the circles
_SPREAD = 0.015  # of points about their circle or outline
_CENTRES = ((0.37, 0.5), (0.63, 0.5))  # of the ellipses
_AXES = (0.2, 0.32)  # half of each, across and up
_APART = 0.02  # how much nearer the other's centre a point of the overlap must be


class Points(InMemoryScenario):
    """Two classes of points in the unit square."""

    @property
    def image_shape(self) -> ImageShape:
        """One pixel of two channels."""
        return 1, 1, 2

    @property
    def class_names(self) -> tuple[str, ...]:
        """Two."""
        return "first", "second"

    @property
    def splits(self) -> tuple[str, ...]:
        """2,000 training and 400 test points."""
        return tuple(_COUNTS)

    def split_arrays(self, split: str) -> Arrays:
        """Return one split, its classes in turn; see `InMemoryScenario`."""
        random = np.random.default_rng(self.splits.index(split))
        labels = np.arange(_COUNTS[split]) % 2
        points = np.empty((len(labels), 2))
        for label in range(2):
            points[labels == label] = self._drawn(label, int((labels == label).sum()), random)
        images = points.reshape(-1, 1, 1, 2).astype("float32")
        return {"image": images, "label": labels}

    @abc.abstractmethod
    def _drawn(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """Return points of one class, `(count, 2)`."""


@plugin
class Circles(Points):
    """A circle inside another, around the middle of the square."""

    def _drawn(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        angle = random.uniform(0, 2 * np.pi, count)
        circle = _RADII[label] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return 0.5 + circle + random.normal(0, _SPREAD, (count, 2))


@plugin
class Ellipses(Points):
    """Two overlapping ellipses side by side."""

    fill: Literal["filled", "outline"] = option(
        "points all over the ellipse, or around it", default="filled"
    )

    def _drawn(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        points = np.empty((0, 2))
        while len(points) < count:
            draw = self._around if self.fill == "outline" else self._within
            candidates = draw(label, 4 * count, random)
            points = np.concatenate([points, candidates[self._belongs(candidates, label)]])
        return points[:count]

    def _within(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """Return points of an ellipse, evenly spread, `count` at most."""
        points = _CENTRES[label] + random.uniform(-1, 1, (count, 2)) * _AXES
        return np.asarray(points[_inside(points, label)])

    def _around(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        """Return points about an ellipse's outline, `(count, 2)`."""
        angle = random.uniform(0, 2 * np.pi, count)
        outline = _CENTRES[label] + np.stack([np.cos(angle), np.sin(angle)], axis=1) * _AXES
        return np.asarray(outline + random.normal(0, _SPREAD, (count, 2)))

    def _belongs(self, points: np.ndarray, label: int) -> np.ndarray:
        """Tell which points of an ellipse are wanted: here all."""
        return np.ones(len(points), bool)


@plugin
class EllipsesApart(Ellipses):
    """The points of two ellipses that lie outside the other one."""

    def _belongs(self, points: np.ndarray, label: int) -> np.ndarray:
        return ~_inside(points, 1 - label)


@plugin
class EllipsesOverlap(Ellipses):
    """The points of two ellipses that lie inside the other one, on its side."""

    def _belongs(self, points: np.ndarray, label: int) -> np.ndarray:
        own, other = (np.hypot(*(points - _CENTRES[k]).T) for k in (label, 1 - label))
        return _inside(points, 1 - label) & (other + _APART < own)


def _inside(points: np.ndarray, label: int) -> np.ndarray:
    return np.square((points - _CENTRES[label]) / _AXES).sum(axis=1) <= 1
