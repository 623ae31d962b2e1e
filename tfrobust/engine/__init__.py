"""Runs attacks: the loop, the losses, what an attack sees and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.engine.run import Crafted, RunSettings, run_attack

__all__ = ["Crafted", "RunSettings", "run_attack"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "run": ("Crafted", "RunSettings", "run_attack"),
    },
)
