"""How norms are written for people."""

from __future__ import annotations

from tfrobust.types import Norm

NORM_TITLES: dict[Norm, str] = {"linf": "L∞", "l2": "L2", "l1": "L1", "l0": "L0"}
