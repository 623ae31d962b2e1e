"""Classifiers × attacks → results, in memory (`evaluate`) or as a run folder (`run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.evaluation.corruptions import CorruptionSettings, evaluate_corruptions
    from tfrobust.evaluation.evaluator import evaluate, evaluate_settings
    from tfrobust.evaluation.reattacking import reattack
    from tfrobust.evaluation.runs import craft, run, run_corruptions, run_reattack
    from tfrobust.evaluation.settings import EvaluationSettings, Progress
    from tfrobust.evaluation.stream_runs import StreamResults, StreamSettings, run_streams
    from tfrobust.evaluation.sweeps import at_budgets, at_values
    from tfrobust.results.run_files import Evaluated

__all__ = [
    "CorruptionSettings",
    "Evaluated",
    "EvaluationSettings",
    "Progress",
    "StreamResults",
    "StreamSettings",
    "at_budgets",
    "at_values",
    "craft",
    "evaluate",
    "evaluate_corruptions",
    "evaluate_settings",
    "reattack",
    "run",
    "run_corruptions",
    "run_reattack",
    "run_streams",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "corruptions": ("CorruptionSettings", "evaluate_corruptions"),
        "evaluator": ("Evaluated", "evaluate", "evaluate_settings"),
        "reattacking": ("reattack",),
        "runs": ("craft", "run", "run_corruptions", "run_reattack"),
        "settings": ("EvaluationSettings", "Progress"),
        "stream_runs": ("StreamResults", "StreamSettings", "run_streams"),
        "sweeps": ("at_budgets", "at_values"),
    },
)
