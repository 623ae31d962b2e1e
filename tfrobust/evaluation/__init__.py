"""Classifiers × attacks → results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.evaluation.evaluator import Evaluated, evaluate

__all__ = ["Evaluated", "evaluate"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "evaluator": (
            "Evaluated",
            "evaluate",
        ),
    },
)
