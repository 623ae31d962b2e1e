"""The classes that attacks of a diagnosis aim at."""

from __future__ import annotations

import numpy as np

from tfrobust.diagnosis.bench import Bench
from tfrobust.types import Labels


def likeliest_others(bench: Bench, rows: np.ndarray) -> Labels:
    """Return the likeliest known class of each image but for its label, int64 `(n,)`.

    Args:
        bench: with the images.
        rows: int `(n,)`: which of them.
    """
    logits = bench.logits(bench.images[rows])[:, : bench.known_classes].copy()
    logits[np.arange(len(rows)), bench.labels[rows]] = -np.inf
    return logits.argmax(axis=1)
