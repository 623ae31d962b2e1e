"""What the fifteen corruptions of ImageNet-C share: a severity, and constants that fit the size.

Hendrycks & Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (2019). The constants are those of the authors' generators of CIFAR-10-C (32×32),
Tiny-ImageNet-C (64×64) and ImageNet-C (224×224). Lengths in them are pixels.

Departures of all fifteen:

- An image of another size gets the constants of the published size nearest by ratio to its shorter
  side; the originals know square images of one size.
- Pixels stay float32. The authors cut to 8 bits at the end, some corruptions in between as well,
  and saved the 64×64 and 224×224 images as JPEGs of quality 85, which softens noise.
- Each image has its own seed. The authors' sequence of draws cannot be reproduced, so single
  images differ from the published files while their distribution does not (but for frost).
- Grey images are corrupted as such; the originals were made from colour images alone.

Why own code: the libraries that have these (TensorFlow Datasets' `imagenet2012_corrupted`,
`imagecorruptions`) know the constants of 224×224 only, draw from NumPy's global generator, need
OpenCV and scikit-image, or ImageMagick's binary, and ship or download the frost photographs.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.errors import DataError
from tfrobust.options import option, plugin
from tfrobust.scenario import Shift
from tfrobust.types import Image, Seed

SIZES = 32, 64, 224  # pixels a side: CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C
Strengths = dict[int, tuple[Any, ...]]


@plugin
class Corruption(Shift):
    """A corruption with a severity from 1 to 5."""

    keeps_geometry: ClassVar[bool] = True
    strengths: ClassVar[Strengths]  # published size → one constant, or tuple of them, a severity

    severity: int = option("severity from 1 to 5", default=3, ge=1, le=5)

    @abc.abstractmethod
    def corrupted(self, image: Image, strength: Any, seed: Seed) -> Any:
        """Return the image corrupted; the result is clipped to [0, 1] afterwards.

        Args:
            image: float32 `(height, width, channels)` in [0, 1].
            strength: the constant of this severity and size.
            seed: int32 `(2,)`.
        """

    def __call__(self, image: Image, *, seed: Seed) -> Any:
        """Return the corrupted image; see `Shift`.

        Raises:
            DataError: the image's size is not known when the shift is traced.
        """
        image = tf.convert_to_tensor(image, tf.float32)
        if not image.shape.is_fully_defined():
            raise DataError(
                "corruptions: expected images of one known size; "
                f"received: {image.shape}; resize them first"
            )
        strength = self.strengths[published_size(image.shape)][self.severity - 1]
        return tf.clip_by_value(self.corrupted(image, strength, seed), 0.0, 1.0)


def published_size(shape: Any) -> int:
    """Return the published size that is nearest, by ratio, to the shorter side of an image.

    Example:
        >>> [published_size((side, side, 3)) for side in (8, 28, 56, 96, 299)]
        [32, 32, 64, 64, 224]
    """
    side = min(int(shape[0]), int(shape[1]))
    return min(SIZES, key=lambda size: abs(np.log(size / side)))
