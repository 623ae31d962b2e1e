"""One attack on some images: what each image has cost, and the best that was seen of it.

An image whose budget is spent gets no answers any more. What its attack would return then may come
from a half-finished step; what counts is the best adversarial image among those that the endpoint
had answered, or the clean image.
"""

from __future__ import annotations

import threading

import numpy as np

from tfrobust.meter import Goal
from tfrobust.norms.distances import distances, within_budget
from tfrobust.norms.levels import rounded, rounded_within
from tfrobust.types import Flags, Images, Logits


class Attempt:
    """One attack on some images; see the module.

    Args:
        images: float32 `(n, height, width, channels)`: before the attack.
        goal: what the attack wants of them.
        limit: queries an image; `None`: no limit.
        levels: how many levels a sent pixel has; `None`: those of floating point.

    Attributes:
        asked: questions about these images, answers from the cache included.
    """

    def __init__(
        self, images: Images, goal: Goal, limit: int | None, *, levels: int | None = None
    ) -> None:
        self._levels = levels
        images = images if levels is None else rounded(images, levels)
        self._clean, self._goal, self._limit = images, goal, limit
        self._count = np.zeros(len(images), np.int64)
        self._refused = np.zeros(len(images), bool)
        self._least = np.full(len(images), np.inf)
        self._best = images.copy()
        self._lock = threading.Lock()
        self.asked = 0

    @property
    def cut_off(self) -> int:
        """How many images were refused an answer."""
        return int(self._refused.sum())

    def refused(self, numbers: np.ndarray) -> Flags:
        """Return which images get no answers any more, bool."""
        return self._refused[numbers]

    def refuse(self, numbers: np.ndarray) -> None:
        """Answer nothing about these images any more."""
        self._refused[numbers] = True

    def charge(self, numbers: np.ndarray) -> Flags:
        """Count a question of which each row is about one image; return which may be answered.

        Args:
            numbers: `(rows,)`: whose row each is.

        Returns:
            Bool `(rows,)`; the images of the other rows are refused.
        """
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        firsts = np.searchsorted(ordered, ordered)
        earlier = np.empty(len(numbers), np.int64)
        earlier[order] = np.arange(len(numbers)) - firsts  # rows of the same image before this one
        with self._lock:
            allowed = ~(self._refused[numbers] | self._over(self._count[numbers] + earlier + 1))
            np.add.at(self._count, numbers[allowed], 1)
            self._refused[numbers[~allowed]] = True
            self.asked += int(allowed.sum())
        return allowed

    def share(self, numbers: np.ndarray, rows: int) -> Flags:
        """Count a question that these images share; return which rows may be answered.

        All are answered, or none, and then all of these images are refused.

        Args:
            numbers: of the images.
            rows: how many.

        Returns:
            Bool `(rows,)`.
        """
        share = -(-rows // max(1, len(numbers)))
        with self._lock:
            over = self._refused[numbers] | self._over(self._count[numbers] + share)
            if over.any():
                self._refused[numbers] = True  # what nobody answered must decide nobody's attack
                return np.zeros(rows, bool)
            self._count[numbers] += share
            self.asked += rows
            return np.ones(rows, bool)

    def _over(self, counts: np.ndarray) -> Flags:
        if self._limit is None:
            return np.zeros(len(counts), bool)
        return counts > self._limit

    def see(self, numbers: np.ndarray, images: Images, logits: Logits) -> None:
        """Remember the nearest adversarial image of each, of rows that the endpoint answered.

        Args:
            numbers: `(rows,)`: whose.
            images: `(rows, height, width, channels)`.
            logits: `(rows, classes)`.
        """
        wanted = self._goal.labels[numbers]
        predicted = logits.argmax(axis=1)
        hits = np.flatnonzero((predicted == wanted) == self._goal.targeted)
        if not len(hits):
            return
        clean = self._clean[numbers[hits]]
        distance = distances(clean, images[hits])[self._goal.norm or "l2"]
        inside = within_budget(distance, self._goal.budget)
        for hit, far, fits in zip(hits.tolist(), distance.tolist(), inside.tolist(), strict=True):
            number = numbers[hit]
            if fits and far < self._least[number]:
                self._least[number] = far
                self._best[number] = images[hit]

    def standing(self, numbers: np.ndarray, classes: int) -> Logits:
        """Return what is answered about rows that are not asked: as if the attack had failed.

        Args:
            numbers: whose; as many as rows, or those of the batch, whose rows get zeros.
            classes: how many there are.
        """
        label = self._goal.labels[numbers]
        label = (label + 1) % classes if self._goal.targeted else label
        return np.eye(classes, dtype=np.float32)[label % classes]

    def settled(self, crafted: Images) -> Images:
        """Return what an attack made, with the best that was seen of images that were cut off."""
        flags = self._refused[:, None, None, None]
        return np.where(flags, self._best, self.as_sent(np.arange(len(crafted)), crafted))

    def as_sent(self, numbers: np.ndarray, images: Images) -> Images:
        """Return images with the pixels that the endpoint sees, those of the ball in the ball.

        Args:
            numbers: `(rows,)`: whose.
            images: `(rows, height, width, channels)`.
        """
        if self._levels is None:
            return images
        goal = self._goal
        return rounded_within(self._clean[numbers], images, self._levels, goal.norm, goal.budget)
