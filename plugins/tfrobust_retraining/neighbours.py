"""Labels by nearest neighbours among known images, whatever any network says.

Images are compared in the space of their principal components. What those leave out of an image,
its distance from that space, is one more coordinate: noise far from every image may lie right above
one of them.

Thakur, Ding & Li, "Evaluating a simple retraining strategy as a defense against adversarial
attacks" (2020), section 3.1. Departure: the coordinate of what is left out, and the threshold
beyond which an image is like nothing known, for which the paper gives no rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from tfrobust.errors import UsageError
from tfrobust.types import Images, Labels, PerImage

_SAMPLE = 2_000  # known images whose distances to the others tell what is near


class Found(NamedTuple):
    """What the neighbours of some images tell.

    Attributes:
        labels: int64 `(n,)`: the most frequent class among the k nearest; of several the first.
        distances: float `(n,)`: to the nearest, in the unit of L2 over pixels.
    """

    labels: Labels
    distances: PerImage


class Neighbours:
    """Known images, to look others up among.

    Args:
        images: float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
        k: neighbours that vote.
        dimensions: principal components that are kept.
        seed: of PCA's random projections, and of the sample for the threshold.

    Raises:
        UsageError: `k` or `dimensions` exceed what the images have.

    Example:
        >>> known = Neighbours(images, labels, k=1, dimensions=300, seed=0)
        >>> known.look_up(adversarial).labels
    """

    def __init__(
        self, images: Images, labels: Labels, *, k: int, dimensions: int, seed: int
    ) -> None:
        count, pixels = len(images), int(np.prod(images.shape[1:]))
        if k > count:
            raise UsageError(
                f"k: expected at most the {count} training images; received: {k} neighbours"
            )
        if dimensions > min(count, pixels):
            raise UsageError(
                f"dimensions: expected at most {min(count, pixels)}, the rank of {count} images of "
                f"{pixels} pixels; received: {dimensions}"
            )
        self._labels, self._k, self._seed = labels, k, seed
        self._pca = PCA(dimensions, random_state=seed)
        self._known = self._placed(self._pca.fit(_flat(images)), images)
        self._search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(self._known)

    def look_up(self, images: Images) -> Found:
        """Return labels of images, and how far they are from everything that is known."""
        distances, rows = self._search.kneighbors(self._placed(self._pca, images))
        votes = stats.mode(self._labels[rows], axis=1).mode
        return Found(votes.astype(np.int64), distances[:, 0])

    def reach(self, quantile: float) -> float:
        """Return the distance within which this share of known images has another known one."""
        random = np.random.default_rng(self._seed)
        rows = random.permutation(len(self._known))[:_SAMPLE]
        nearest = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(self._known)
        distances, _ = nearest.kneighbors(self._known[rows])
        return float(np.quantile(distances[:, 1], quantile))

    @staticmethod
    def _placed(pca: PCA, images: Images) -> np.ndarray:
        """Return coordinates, float32 `(n, dimensions + 1)`."""
        flat = _flat(images)
        inside = pca.transform(flat)
        whole = np.square(flat - pca.mean_).sum(axis=1)
        left = np.sqrt(np.maximum(whole - np.square(inside).sum(axis=1), 0))
        return np.concatenate([inside, left[:, np.newaxis]], axis=1).astype(np.float32)


def _flat(images: Images) -> np.ndarray:
    return images.reshape(len(images), -1)
