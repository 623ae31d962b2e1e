"""The scenes of the calibrater's experiments: A, which the network knows, and B1 and B2.

A: random resized crop and horizontal flip. B1: rotation by up to 15°, then brightness, contrast and
saturation changed by up to 0.8. B2: up to 20° and 2.0.

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), who take them
from PyTorch. Departures: none known; the paper does not say whether colours or the rotation come
first.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tfrobust.options import option, plugin
from tfrobust.random import fold
from tfrobust.scenario import BatchShift
from tfrobust.types import Images, Seeds
from tfrobust_scenarios.augmentations.color_jitter import ColorJitter
from tfrobust_scenarios.augmentations.random_resized_crop import RandomResizedCrop
from tfrobust_scenarios.augmentations.rotation import Rotation


@plugin
class SceneA(BatchShift):
    """Random resized crop, mirrored half of the time."""

    min_scale: float = option("smallest share of the area", default=0.08, gt=0, le=1)

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Crop and mirror; see `Shift`."""
        crop = RandomResizedCrop(min_scale=self.min_scale, flip=0.5)
        return crop.batch(images, seeds=seeds)


@plugin
class SceneB1(BatchShift):
    """Rotation by up to 15° and colours changed by up to 0.8."""

    degrees: ClassVar[float] = 15.0
    change: ClassVar[float] = 0.8

    def batch(self, images: Images, *, seeds: Seeds) -> Any:
        """Turn and colour; see `Shift`."""
        turned = Rotation(degrees=self.degrees).batch(images, seeds=seeds)
        jitter = ColorJitter(brightness=self.change, contrast=self.change, saturation=self.change)
        return jitter.batch(turned, seeds=fold(seeds, 1))


@plugin
class SceneB2(SceneB1):
    """Rotation by up to 20° and colours changed by up to 2.0."""

    degrees: ClassVar[float] = 20.0
    change: ClassVar[float] = 2.0
