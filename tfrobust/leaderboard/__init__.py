"""Which classifiers are left standing: results of several runs, ranked where they are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tfrobust.faces import lazy

if TYPE_CHECKING:
    from tfrobust.leaderboard.gathering import leaderboard, robustbench
    from tfrobust.leaderboard.records import Board, Entry, Leaderboard
    from tfrobust.leaderboard.running import run

__all__ = ["Board", "Entry", "Leaderboard", "leaderboard", "robustbench", "run"]
__getattr__, __dir__ = lazy(
    __name__,
    {
        "gathering": ("leaderboard", "robustbench"),
        "records": ("Board", "Entry", "Leaderboard"),
        "running": ("run",),
    },
)
