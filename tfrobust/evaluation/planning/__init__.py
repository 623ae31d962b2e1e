"""What an evaluation will cost on this device and on more of them, before it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.evaluation.planning.planner import DEVICES, plan
    from tfrobust.evaluation.planning.records import Plan

__all__ = ["DEVICES", "Plan", "plan"]
__getattr__, __dir__ = lazy(__name__, {"planner": ("DEVICES", "plan"), "records": ("Plan",)})
