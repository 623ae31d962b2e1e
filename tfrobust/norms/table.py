"""Norms by name."""

from __future__ import annotations

from tfrobust.errors import UsageError
from tfrobust.norms.contract import ConvexBall
from tfrobust.norms.dense import L2, Linf
from tfrobust.norms.sparse import L1

_BALLS: dict[str, ConvexBall] = {"linf": Linf(), "l2": L2(), "l1": L1()}


def ball(norm: str) -> ConvexBall:
    """Return the geometry of `norm`.

    Raises:
        UsageError: this norm has none here.
    """
    if norm not in _BALLS:
        raise UsageError(f"norm: expected one of {', '.join(_BALLS)}; received: {norm!r}")
    return _BALLS[norm]
