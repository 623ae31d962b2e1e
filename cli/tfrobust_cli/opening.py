"""Scenarios as a command opens them: notes on their data are logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tfrobust_cli import console
from tfrobust_cli.arguments import Parameters

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario


def opened(
    name: str, params: Parameters, *, seed: int = 0, log: Callable[[str], None] = console.log
) -> Scenario:
    """Open a scenario, and log its notes, such as what was left out of it.

    Args:
        name: as on the command line.
        params: with its options.
        seed: of its shift.
        log: is called with each note.

    Raises:
        UsageError: an unknown name or option.
        DataError: its data cannot be used.
    """
    from tfrobust.data.names import open_scenario

    scenario = open_scenario(name, params.all(), seed=seed)
    for note in scenario.notes:
        log(note)
    return scenario
