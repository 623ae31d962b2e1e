"""Scenarios as a command opens them: what is odd about their data is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tfrobust_cli import console
from tfrobust_cli.arguments import Parameters

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario


def opened(
    name: str, params: Parameters, *, seed: int = 0, say: Callable[[str], None] = console.say
) -> Scenario:
    """Open a scenario, and say its notes: what was left out of it, say.

    Args:
        name: as on the command line.
        params: with its options.
        seed: of its shift.
        say: where the notes go.

    Raises:
        UsageError: an unknown name or option.
        DataError: its data cannot be used.
    """
    from tfrobust.data.names import open_scenario

    scenario = open_scenario(name, params.all(), seed=seed)
    for note in scenario.notes:
        say(note)
    return scenario
