"""What a radius in one norm is worth in another one.

‖x‖_p ≤ c ‖x‖_q with c = d^max(1/p − 1/q, 0) for d numbers: what holds within r in the norm p holds
within r / c in the norm q.
"""

from __future__ import annotations

from tfrobust.types import ImageShape, Norm, PerImage

_INVERSE: dict[Norm, float] = {"l1": 1.0, "l2": 0.5, "linf": 0.0}  # 1 / p


def equivalent(radii: PerImage, norm: Norm, wanted: Norm, image_shape: ImageShape) -> PerImage:
    """Return the radii in another norm, the largest that hold for every direction.

    Args:
        radii: `(batch,)`, in the norm `norm`.
        norm: `l1`, `l2` or `linf`.
        wanted: as well.
        image_shape: of the images.

    Example:
        >>> equivalent(np.array([2.0]), "l2", "linf", (4, 4, 1))
        array([0.5])
    """
    height, width, channels = image_shape
    exponent = max(_INVERSE[norm] - _INVERSE[wanted], 0.0)
    return radii / float(height * width * channels) ** exponent
