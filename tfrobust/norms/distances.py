"""How far images lie apart, in every norm."""

from __future__ import annotations

import numpy as np

from tfrobust.types import Flags, Images, Norm, PerImage

# x + eps rounds to the nearest float32, up to 6e-8 away; a sum over pixels to a few more.
_SLACK = 1e-6
_MEASURED = 1024  # images whose distances are computed at a time, in float64


def distances(images: Images, others: Images) -> dict[str, PerImage]:
    """Return the distance of each image in every norm; see `Audit.distance`."""
    parts: dict[str, list[PerImage]] = {"l0": [], "l1": [], "l2": [], "linf": []}
    for start in range(0, len(images), _MEASURED):
        rows = slice(start, start + _MEASURED)
        change = np.abs(others[rows].astype(np.float64) - images[rows])
        parts["l0"].append((change > 0).any(axis=3).sum(axis=(1, 2)).astype(np.float64))
        parts["l1"].append(change.sum(axis=(1, 2, 3)))
        parts["l2"].append(np.sqrt(np.square(change).sum(axis=(1, 2, 3))))
        parts["linf"].append(change.max(axis=(1, 2, 3)))
    return {norm: np.concatenate(values) for norm, values in parts.items()}


def within_budget(distance: PerImage, budget: float | None) -> Flags:
    """Return which distances keep to a budget, but for rounding; all of them where it is `None`.

    Args:
        distance: NumPy array or tensor `(batch,)`.
        budget: in the same unit.
    """
    limit = float("inf") if budget is None else budget + _SLACK * max(1.0, budget)
    return distance <= limit


def widest(norm: Norm, image_shape: tuple[int, ...]) -> float:
    """Return how far apart two images of a shape can be.

    Example:
        >>> widest("l2", (4, 4, 1))
        4.0
    """
    height, width, channels = image_shape
    pixels = float(height * width * channels)
    return {"linf": 1.0, "l2": pixels**0.5, "l1": pixels, "l0": float(height * width)}[norm]
