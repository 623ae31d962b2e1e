"""The bundled lists of attacks."""

from __future__ import annotations

from typing import ClassVar

from tfrobust.options import plugin
from tfrobust.suites import Members, Suite


@plugin
class Fast(Suite):
    """A first look, in minutes: tells whether the model is fragile."""

    members: ClassVar[Members] = {
        "fgsm": {},
        "pgd": {},
        "deepfool": {"norm": "linf"},  # the others' norm, so that one `--eps` fits all
        "square": {"queries": 500},
    }


@plugin
class Standard(Suite):
    """What to publish."""

    members: ClassVar[Members] = {"autoattack": {}, "cw_l2": {}, "gaussian_noise": {}}


@plugin
class MinimumNorm(Suite):
    """The distance to the nearest adversarial image, as near as gradients find one."""

    members: ClassVar[Members] = {"nearest": {}}


@plugin
class Baselines(Suite):
    """Noise that is shown beside every evaluation: what changes of the same size do by chance."""

    members: ClassVar[Members] = {
        "gaussian_noise": {},
        "uniform_noise": {},
        "contrast": {},
        "gaussian_blur": {},
    }


@plugin
class GradientFree(Suite):
    """What to try on a classifier whose gradients vanish."""

    members: ClassVar[Members] = {"square": {}, "hopskipjump": {}}
