"""Evaluation a block of images at a time: the unit of work, of resuming and of distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.evaluation.blocks.block import Block, cut
    from tfrobust.evaluation.blocks.job import EvaluationJob
    from tfrobust.evaluation.blocks.rows import BlockRows

__all__ = ["Block", "BlockRows", "EvaluationJob", "cut"]
__getattr__, __dir__ = lazy(
    __name__, {"block": ("Block", "cut"), "job": ("EvaluationJob",), "rows": ("BlockRows",)}
)
