"""Weights that share a few values: a codebook, and for each weight its number in it.

w = codebook[index];  index 0 is a weight that was pruned, and codebook[0] = 0

Han, Mao & Dally, "Deep compression: compressing deep neural networks with pruning, trained
quantization and Huffman coding" (2016), sections 3.1 and 4. The clusters are k-means', started at
evenly spaced values from the smallest to the largest weight. Departures: none.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tfrobust_compression.huffman import coded_bits

_GAP = 8  # bits of the distance from one weight that is left to the next
_FLOAT = 32


@dataclasses.dataclass(frozen=True)
class Shared:
    """A tensor of shared values.

    Attributes:
        codebook: float32 `(values + 1,)`; the first is 0.
        index: integers of the tensor's shape, from 0 to `values`.
    """

    codebook: np.ndarray
    index: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The tensor, float32."""
        return self.codebook[self.index]

    @property
    def bits(self) -> int:
        """How many bits it takes: codebook, distances and numbers, both Huffman-coded."""
        kept = np.flatnonzero(self.index)
        gaps = _gaps(kept)
        # A distance that is too long is broken by a weight of value 0.
        numbers = np.concatenate([self.index.ravel()[kept], np.zeros(len(gaps) - len(kept), int)])
        dense = len(kept) == self.index.size
        places = 0 if dense else coded_bits(gaps)
        return _FLOAT * (len(self.codebook) - 1) + places + coded_bits(numbers)


def shared(weights: np.ndarray, bits: int) -> Shared:
    """Let the weights that are not 0 share 2^bits values.

    Args:
        weights: float32 of any shape; zeros stay zeros.
        bits: 1 to 16.

    Returns:
        The clusters of least squares that k-means finds; fewer values where there are fewer.

    Example:
        >>> shared(np.array([0.0, 1.0, 1.2, -3.0], np.float32), 1).codebook
        array([ 0. , -3. ,  1.1], dtype=float32)
    """
    kept = weights != 0
    values = weights[kept].astype(np.float64)
    if len(np.unique(values)) <= 2**bits:
        return as_shared(weights)
    return _numbered(kept, *_clusters(values, 2**bits))


def as_shared(weights: np.ndarray) -> Shared:
    """Return weights as they are, in a codebook of as many values as there are.

    Example:
        >>> as_shared(np.array([0.5, 0.0, 0.5], np.float32)).index
        array([1, 0, 1], dtype=uint32)
    """
    kept = weights != 0
    return _numbered(kept, *np.unique(weights[kept], return_inverse=True))


def _numbered(kept: np.ndarray, codebook: np.ndarray, numbers: np.ndarray) -> Shared:
    index = np.zeros(kept.shape, np.uint32)
    index[kept] = numbers + 1
    return Shared(np.concatenate([[0.0], codebook]).astype(np.float32), index)


def _clusters(values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the clusters' centres, ascending, and the number of each value's."""
    start = np.linspace(values.min(), values.max(), count)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        means = KMeans(count, init=start, n_init=1, tol=0).fit(values[:, None])
    centres = np.unique(means.cluster_centers_.ravel())
    # In one dimension a cluster is an interval: its borders lie halfway between centres.
    return centres, np.searchsorted((centres[1:] + centres[:-1]) / 2, values)


def _gaps(kept: np.ndarray) -> np.ndarray:
    """Return the distances between neighbours, the longest broken into parts that fit."""
    most = 2**_GAP - 1
    distances = np.diff(kept, prepend=-1)
    parts = (distances - 1) // most
    rest = distances - parts * most
    return np.concatenate([rest, np.full(int(parts.sum()), most)])
