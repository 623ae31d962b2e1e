"""Groups of adversarial images that are like nothing known."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans

from tfrobust.data.spooled import bytes_of
from tfrobust.types import Flags, Labels
from tfrobust_retraining.crafted_files import CraftedFiles

_FITTED = 1 << 30  # bytes of images that the clusters are fitted to, at most


def clustered(crafted: CraftedFiles, chosen: Flags, clusters: int, *, seed: int) -> Labels:
    """Return the cluster of each chosen image, int64 `(chosen,)`, by k-means over pixels.

    The clusters are fitted to all chosen images, or to as many as fit into a GB, drawn by the seed.

    Args:
        crafted: all images.
        chosen: bool `(n,)`: which of them.
        clusters: how many, at most as many as images are chosen.
        seed: decides everything random.
    """
    fitted = chosen
    most = max(clusters, _FITTED // bytes_of(crafted.image_shape))
    if int(chosen.sum()) > most:
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(chosen))[:most]
        fitted = np.zeros_like(chosen)
        fitted[drawn] = True
    means = KMeans(clusters, n_init=4, random_state=seed)
    means.fit(np.concatenate([_flat(images) for images in crafted.chosen(fitted)]))
    groups = [means.predict(_flat(images)) for images in crafted.chosen(chosen) if len(images)]
    return np.concatenate(groups).astype(np.int64)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)
