"""Bounds of a network's answers over all images near an image."""

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.bounds.around import NORMS, Around, Box
    from tfrobust.bounds.intervals import IntervalBounds
    from tfrobust.bounds.linear import LinearBounds
    from tfrobust.bounds.network import Network

__all__ = ["NORMS", "Around", "Box", "IntervalBounds", "LinearBounds", "Network"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "around": ("NORMS", "Around", "Box"),
        "intervals": ("IntervalBounds",),
        "linear": ("LinearBounds",),
        "network": ("Network",),
    },
)
