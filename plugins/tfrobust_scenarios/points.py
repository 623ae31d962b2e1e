"""Points of a plane as images of one pixel with two channels, across and up.

Two circles about one centre, which no line separates; and two ellipses that overlap. Of the
ellipses there are also those points of each that lie outside the other (`ellipses_apart`), and
those that lie inside the other and nearer its centre than their own (`ellipses_overlap`), which a
network that learned the first gets wrong.

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), figures 3 and 4.
Departures: it gives neither sizes nor counts; its overlapping data are all that the first network
gets wrong, as its 0 % says, and here that is so by their definition.
"""

from __future__ import annotations

import abc

import numpy as np

from tfrobust.data.in_memory import Arrays, InMemoryScenario
from tfrobust.options import plugin
from tfrobust.types import ImageShape

_COUNTS = {"train": 2000, "test": 400}  # points of both classes
_RADII = (0.32, 0.12)  # of the circles
_SPREAD = 0.015  # of points about their circle
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
    """Two overlapping ellipses side by side, evenly filled."""

    def _drawn(self, label: int, count: int, random: np.random.Generator) -> np.ndarray:
        points = np.empty((0, 2))
        while len(points) < count:
            drawn = _CENTRES[label] + random.uniform(-1, 1, (4 * count, 2)) * _AXES
            inside = _inside(drawn, label) & self._belongs(drawn, label)
            points = np.concatenate([points, drawn[inside]])
        return points[:count]

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
    """The points of two ellipses that lie inside the other one, nearer to its centre."""

    def _belongs(self, points: np.ndarray, label: int) -> np.ndarray:
        own, other = (np.hypot(*(points - _CENTRES[k]).T) for k in (label, 1 - label))
        return _inside(points, 1 - label) & (other + _APART < own)


def _inside(points: np.ndarray, label: int) -> np.ndarray:
    return np.square((points - _CENTRES[label]) / _AXES).sum(axis=1) <= 1
