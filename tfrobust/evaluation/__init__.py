"""Classifiers × attacks → results, in memory (`evaluate`) or as a run folder (`run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.evaluation.corruptions.measuring import evaluate_corruptions
    from tfrobust.evaluation.corruptions.settings import CorruptionSettings
    from tfrobust.evaluation.crafting import craft
    from tfrobust.evaluation.curves.sweeps import at_budgets, at_values
    from tfrobust.evaluation.evaluator import evaluate, evaluate_settings
    from tfrobust.evaluation.planning.planner import plan
    from tfrobust.evaluation.planning.records import Plan
    from tfrobust.evaluation.reattacking import reattack
    from tfrobust.evaluation.runs import run, run_corruptions, run_reattack
    from tfrobust.evaluation.settings import EvaluationSettings, Progress
    from tfrobust.evaluation.streams.runs import StreamResults, StreamSettings, run_streams
    from tfrobust.results.run_files import Evaluated

__all__ = [
    "CorruptionSettings",
    "Evaluated",
    "EvaluationSettings",
    "Plan",
    "Progress",
    "StreamResults",
    "StreamSettings",
    "at_budgets",
    "at_values",
    "craft",
    "evaluate",
    "evaluate_corruptions",
    "evaluate_settings",
    "plan",
    "reattack",
    "run",
    "run_corruptions",
    "run_reattack",
    "run_streams",
]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "corruptions.settings": ("CorruptionSettings",),
        "corruptions.measuring": ("evaluate_corruptions",),
        "crafting": ("craft",),
        "evaluator": ("Evaluated", "evaluate", "evaluate_settings"),
        "planning.planner": ("plan",),
        "planning.records": ("Plan",),
        "reattacking": ("reattack",),
        "runs": ("run", "run_corruptions", "run_reattack"),
        "settings": ("EvaluationSettings", "Progress"),
        "streams.runs": ("StreamResults", "StreamSettings", "run_streams"),
        "curves.sweeps": ("at_budgets", "at_values"),
    },
)
