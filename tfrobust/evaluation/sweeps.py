"""Attacks at several values of an option: a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfrobust.attack import Attack
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.options import build, has_option, record
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
    attacks: Sequence[Attack], option: str, values: Sequence[Any], *, only: str | None = None
) -> list[Attack]:
    """Return every attack that has an option at each of these values, and the others as they are.

    Args:
        attacks: with their other options.
        option: which.
        values: of the option, one or more; of none, the attacks come back as they are.
        only: the name of the attacks that are swept; `None`: all.

    Raises:
        UsageError: a value is out of an attack's range, no attack has the option, or none has the
            name.

    Example:
        >>> noise = [create("attacks", "white_to_black")]
        >>> [attack.count for attack in at_values(noise, "count", [0, 40])]
        [0, 40]
    """
    names = list(dict.fromkeys(map(name_of, attacks)))
    if only is not None and only not in names:
        raise UsageError(
            f"{only}.{option}: no attack of this evaluation is called {only!r}"
            f"{did_you_mean(only, names)} (there are: {', '.join(names) or 'none'})"
        )
    spread: list[Attack] = []
    swept = [
        attack
        for attack in attacks
        if values and has_option(attack, option) and only in {None, name_of(attack)}
    ]
    if values and not swept:
        asked = ", ".join([only] if only else names) or "there is none"
        raise UsageError(
            f"{option}: an option of none of the attacks: {asked}; leave it out, or add an attack "
            "that has it (see `tfrobust plugins show attacks/NAME`)"
        )
    for attack in attacks:
        if attack not in swept:
            spread.append(attack)
            continue
        for value in dict.fromkeys(values):
            options = record(attack) | {option: value}
            spread.append(build(type(attack), name_of(attack), options))
    return spread
