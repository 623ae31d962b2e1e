"""Attacks at several values of an option: a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfrobust.attack import Attack
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.options import build, has_option, record
from tfrobust.registry import name_of
from tfrobust.types import Budgets, Norm


def at_budgets(attacks: Sequence[Attack], budgets: Budgets) -> list[Attack]:
    """Return every attack that has an `eps` at each of the budgets, and the others as they are.

    Args:
        attacks: with their other options.
        budgets: for attacks of one norm; or by norm, each for the attacks that work in it.

    Raises:
        UsageError: a budget is out of an attack's range, no attack has one, or a number is given
            for attacks of different norms: 0.1 is little in L2 and much in L∞.

    Example:
        >>> [attack.eps for attack in at_budgets([create("attacks", "pgd")], [0.1, 0.2])]
        [0.1, 0.2]
        >>> both = [create("attacks", "pgd"), create("attacks", "cw_l2")]
        >>> [attack.eps for attack in at_budgets(both, {"linf": [0.1], "l2": [1.0]})]
        [0.1, 1.0]
    """
    if not isinstance(budgets, Mapping):
        _check_one_norm(attacks, budgets)
        return at_values(attacks, "eps", budgets)
    attacks = list(attacks)
    for norm, values in budgets.items():
        attacks = at_values(attacks, "eps", values, norm=norm)
    return attacks


def _check_one_norm(attacks: Sequence[Attack], budgets: Sequence[float]) -> None:
    """Refuse budgets that would mean different things to different attacks.

    Raises:
        UsageError: naming an attack of each norm.
    """
    of_norm: dict[Norm, str] = {}
    for attack in attacks:
        if has_option(attack, "eps") and attack.threat.norm is not None:
            of_norm.setdefault(attack.threat.norm, name_of(attack))
    if len(of_norm) > 1 and budgets:
        works = " and ".join(f"{name} in {norm}" for norm, name in of_norm.items())
        shown = ",".join(f"{eps:g}" for eps in budgets)
        first, other, *_ = of_norm
        raise UsageError(
            f"eps: {works} would be measured by the same numbers; give a norm its budgets: "
            f"--eps {first}={shown} and --eps {other}=…, or leave {other} out"
        )


def at_values(
    attacks: Sequence[Attack],
    option: str,
    values: Sequence[Any],
    *,
    only: str | None = None,
    norm: Norm | None = None,
) -> list[Attack]:
    """Return every attack that has an option at each of these values, and the others as they are.

    Args:
        attacks: with their other options.
        option: which.
        values: of the option, one or more; of none, the attacks come back as they are.
        only: the name of the attacks that are swept; `None`: all.
        norm: of the attacks that are swept; `None`: any.

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
        if values
        and has_option(attack, option)
        and only in {None, name_of(attack)}
        and norm in {None, attack.threat.norm}
    ]
    if values and not swept and norm and any(has_option(attack, option) for attack in attacks):
        known = sorted({attack.threat.norm for attack in attacks if attack.threat.norm})
        raise UsageError(
            f"{option}: no attack works in {norm}, but in {', '.join(known) or 'no norm'}; leave "
            "it out, or add an attack in that norm (-p norm=…)"
        )
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
