"""Scenarios as a command opens them: what is odd about their data is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tfrobust_cli.arguments import Parameters
from tfrobust_cli.console import stderr

if TYPE_CHECKING:
    from tfrobust.scenario import Scenario


def opened(
    name: str, params: Parameters, *, seed: int = 0, say: Callable[[str], None] | None = None
) -> Scenario:
    """Open a scenario, and say its notes: what was left out of it, say.

    Args:
        name: as on the command line.
        params: with its options.
        seed: of its shift.
        say: where the notes go; stderr if not given.

    Raises:
        UsageError: an unknown name or option.
        DataError: its data cannot be used.
    """
    from tfrobust.scenes import open_scenario

    scenario = open_scenario(name, params.all(), seed=seed)
    for note in scenario.notes:
        if say:
            say(note)
        else:
            stderr().print(note, markup=False, highlight=False, soft_wrap=True)
    return scenario
