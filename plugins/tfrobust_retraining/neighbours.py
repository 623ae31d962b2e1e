"""Labels from nearest neighbours among known images, independent of any network.

Images are compared in the space of their principal components. What those leave out of an image,
its distance from that space, is one more coordinate: noise far from every image may lie right above
one of them.

Thakur, Ding & Li, "Evaluating a simple retraining strategy as a defense against adversarial
attacks" (2020), section 3.1. Departure: the coordinate of what is left out, and the threshold
beyond which an image is like nothing known, for which the paper gives no rule; of more images than
a GB holds (87,000 of CIFAR-10's size) the components are those of a sample that does.

Memory does not grow with the images: they and their coordinates are read in parts, and scikit-learn
computes the distances in chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from tfrobust.data.spooled import blocks_of, bytes_of, gathered, release, spool
from tfrobust.errors import UsageError
from tfrobust.types import Images, Labels, PerImage

_DIMENSIONS = 300  # the paper's for CIFAR-10
_NOTHING = 1e-12  # a component's share of the variance that is but rounding
_PART = 10_000  # images that are placed at once, at most
_FITTED = 1 << 30  # bytes of images that the components are fitted to, at most
_SAMPLE = 2_000  # known images, at least, whose distances to the others tell what is near
_BEYOND = 20  # of them, at least, lie beyond a quantile: fewer do not tell where it is


class Nearest(NamedTuple):
    """The known images that lie nearest to some images.

    Attributes:
        distances: float `(n, neighbours)`, rising.
        rows: int64 `(n, neighbours)`: which known images.
    """

    distances: np.ndarray
    rows: np.ndarray


def joined(parts: Sequence[Nearest]) -> Nearest:
    """Return the neighbours of the images of all parts, one or more."""
    return Nearest(*map(np.concatenate, zip(*parts, strict=True)))


class Elected(NamedTuple):
    """What the neighbours of some images tell.

    Attributes:
        labels: int64 `(n,)`: the most frequent class among the k nearest; of several that of the
            nearest.
        distances: float `(n,)`: to the nearest, in the unit of L2 over pixels.
    """

    labels: Labels
    distances: PerImage


class Neighbours:
    """Known images, to look others up among.

    Args:
        images: float32 `(n, height, width, channels)`; they may be memory-mapped.
        labels: int64 `(n,)`.
        k: neighbours that vote.
        dimensions: principal components that are kept; none: 300, or all there are.
        seed: of PCA's random projections, and of the samples for PCA and for the threshold.
        folder: of a temporary file with the coordinates of the images; none: that of such files.

    Raises:
        UsageError: `k` or `dimensions` exceed what the images have.

    Example:
        >>> known = Neighbours(images, labels, k=1, dimensions=300, seed=0)
        >>> known.look_up(adversarial).labels
    """

    def __init__(
        self,
        images: Images,
        labels: Labels,
        *,
        k: int,
        dimensions: int | None,
        seed: int,
        folder: Path | None = None,
    ) -> None:
        count, pixels = len(images), math.prod(images.shape[1:])
        if k > count:
            raise UsageError(
                f"retraining: k: expected at most the {count} training images; received: {k} "
                "neighbours; ask fewer: -p retraining.k=1"
            )
        self._labels, self._k, self._seed = labels, k, seed
        components = min(dimensions or _DIMENSIONS, count, pixels)
        most = max(components, _FITTED // bytes_of(images.shape[1:]))
        self._pca = _fitted_pca(images, components, most, seed)
        rank = int((self._pca.explained_variance_ratio_ > _NOTHING).sum())
        if dimensions is not None and dimensions > rank:
            raise UsageError(
                f"retraining: dimensions: expected at most {rank}, the rank of "
                f"{self._pca.n_samples_} images of {pixels} pixels; received: {dimensions}; leave "
                "it out to take what there is"
            )
        self._known = spool(self._placed(images), (components + 1,), folder=folder)
        self._search = NearestNeighbors(algorithm="brute").fit(self._known)

    def look_up(self, images: Images) -> Elected:
        """Return labels of images, and how far they are from everything that is known.

        Args:
            images: float32 `(n, height, width, channels)`.
        """
        return self.voted(self.nearest(images))

    def nearest(self, images: Images) -> Nearest:
        """Return one more than the k nearest known images: enough to leave one out.

        Args:
            images: float32 `(n, height, width, channels)`.
        """
        count = min(self._k + 1, len(self._known))
        return joined(
            [Nearest(*self._search.kneighbors(part, count)) for part in self._placed(images)]
        )

    def voted(self, nearest: Nearest, without: np.ndarray | None = None) -> Elected:
        """Return the labels that neighbours vote for.

        Args:
            nearest: of each image.
            without: int64 `(n,)`: a known image each, which has no vote on it.
        """
        there = nearest.rows.shape[1]
        barred, others = np.zeros(nearest.rows.shape, bool), there
        if without is not None and there > 1:
            barred, others = nearest.rows == without[:, np.newaxis], there - 1
        order = np.argsort(barred, axis=1, kind="stable")[:, : min(self._k, others)]
        distances, rows = (np.take_along_axis(array, order, axis=1) for array in nearest)
        return Elected(_elected(self._labels[rows]), distances[:, 0])

    def reach(self, quantile: float) -> float:
        """Return the distance within which this share of known images has another known one."""
        if len(self._known) < 2:  # a single image is as near as any may be
            return float("inf")
        count = max(_SAMPLE, _BEYOND / max(1.0 - quantile, 1e-9))
        random = np.random.default_rng(self._seed)
        rows = random.permutation(len(self._known))[: int(count)]
        distances, _ = self._search.kneighbors(self._known[rows], 2)
        return float(np.quantile(distances[:, 1], quantile))

    def _placed(self, images: Images) -> Iterator[np.ndarray]:
        """Yield coordinates, float32 `(part, dimensions + 1)`; each part is copied three times."""
        for part in blocks_of(len(images), images.shape[1:], most=_PART):
            yield self._coordinates(_flat(images[part]))
            release(images)

    def _coordinates(self, flat: np.ndarray) -> np.ndarray:
        inside = self._pca.transform(flat)
        whole = np.square(flat - self._pca.mean_).sum(axis=1)
        left = np.sqrt(np.maximum(whole - np.square(inside).sum(axis=1), 0))
        return np.concatenate([inside, left[:, np.newaxis]], axis=1).astype(np.float32)


def _elected(votes: Labels) -> Labels:
    """Return the most frequent class of each row, of several the one that comes first in it.

    Args:
        votes: int64 `(n, k)`, the nearest neighbour's first.

    Example:
        >>> _elected(np.array([[2, 1, 1], [2, 1, 0]]))
        array([1, 2])
    """
    counts = np.zeros((len(votes), int(votes.max(initial=0)) + 1), np.int32)
    np.add.at(counts, (np.arange(len(votes))[:, np.newaxis], votes), 1)
    first = np.take_along_axis(counts, votes, axis=1).argmax(axis=1)
    return np.take_along_axis(votes, first[:, np.newaxis], axis=1)[:, 0].astype(np.int64)


def _flat(images: Images) -> np.ndarray:
    return images.reshape(len(images), -1)


def _fitted_pca(images: Images, components: int, most: int, seed: int) -> PCA:
    """Return the principal components of at most so many of the images, which stay as they are.

    A sample is a copy already: it is centred in place, or it would lie in memory twice.
    """
    fitted = _drawn(images, most, seed)
    return PCA(components, random_state=seed, copy=fitted is images).fit(_flat(fitted))


def _drawn(images: Images, most: int, seed: int) -> Images:
    """Return at most so many of the images, drawn by the seed, in their order."""
    if len(images) <= most:
        return images
    drawn = np.random.default_rng(seed).permutation(len(images))[:most]
    return gathered(images, np.sort(drawn))
