"""The bundled list of shifts."""

from __future__ import annotations

from typing import ClassVar

from tfrobust.options import plugin
from tfrobust.suites import Members, Suite


@plugin
class Corruptions(Suite):
    """The fifteen corruptions of ImageNet-C, in the paper's order; see `--suite corruptions`."""

    kind = "shifts"
    members: ClassVar[Members] = {
        "gaussian_noise": {},
        "shot_noise": {},
        "impulse_noise": {},
        "defocus_blur": {},
        "glass_blur": {},
        "motion_blur": {},
        "zoom_blur": {},
        "snow": {},
        "frost": {},
        "fog": {},
        "brightness": {},
        "contrast": {},
        "elastic_transform": {},
        "pixelate": {},
        "jpeg_compression": {},
    }
