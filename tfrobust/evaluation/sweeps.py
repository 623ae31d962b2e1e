"""Attacks at several values of an option: a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfrobust.attack import Attack
from tfrobust.errors import UsageError
from tfrobust.options import build, option_names, record
from tfrobust.registry import name_of


def at_budgets(attacks: Sequence[Attack], budgets: Sequence[float]) -> list[Attack]:
    """Return every attack that has an `eps` at each of the budgets, and the others as they are.

    Raises:
        UsageError: a budget is out of an attack's range.

    Example:
        >>> [attack.eps for attack in at_budgets([create("attacks", "pgd")], [0.1, 0.2])]
        [0.1, 0.2]
    """
    return at_values(attacks, "eps", budgets)


def at_values(
    attacks: Sequence[Attack], option: str, values: Sequence[Any], *, attack: str | None = None
) -> list[Attack]:
    """Return every attack that has an option at each of these values, and the others as they are.

    Args:
        attacks: with their other options.
        option: which.
        values: of the option, one or more; of none, the attacks come back as they are.
        attack: only the attacks of this name.

    Raises:
        UsageError: a value is out of an attack's range, or no attack has the option.

    Example:
        >>> noise = [create("attacks", "white_to_black")]
        >>> [attack.count for attack in at_values(noise, "count", [0, 40])]
        [0, 40]
    """
    spread: list[Attack] = []
    swept = [
        each
        for each in attacks
        if values and option in option_names(type(each)) and attack in {None, name_of(each)}
    ]
    if values and not swept:
        names = ", ".join(dict.fromkeys(map(name_of, attacks))) or "there is none"
        raise UsageError(
            f"{option}: an option of none of the attacks: {names}; leave it out, or add an attack "
            "that has it (see `tfrobust plugins show attacks/NAME`)"
        )
    for each in attacks:
        if each not in swept:
            spread.append(each)
            continue
        for value in dict.fromkeys(values):
            options = record(each) | {option: value}
            spread.append(build(type(each), name_of(each), options))
    return spread
