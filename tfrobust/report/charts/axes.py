"""What accuracy is drawn against: a budget in each norm, and every option that was swept."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence

from tfrobust.attack import Attack, Strength
from tfrobust.errors import RobustError, printable
from tfrobust.norms.titles import NORM_TITLES
from tfrobust.registry import find
from tfrobust.results.attack_records import AttackResult
from tfrobust.results.records import Evaluation, Results
from tfrobust.types import Norm

_LONGEST = 40  # characters of an option in a legend
Line = list[tuple[int, AttackResult]]  # the number and the result of each attack


@dataclasses.dataclass(frozen=True)
class Axis:
    """What accuracy is drawn against.

    Attributes:
        name: of the figure.
        option: of the attacks.
        label: under the axis.
        norm: of the attacks' threat; `None`: any.
        from_clean: whether the attacks change nothing at 0, so that their lines begin there, at the
            clean accuracy.
    """

    name: str
    option: str
    label: str
    norm: Norm | None
    from_clean: bool


def axes_of(results: Results) -> list[Axis]:
    """Return an axis for ε in each norm, and one for each other option that was swept."""
    attacks = [attack for e in results.evaluations for attack in e.attacks]
    norms = dict.fromkeys(attack.threat.norm for attack in attacks if attack.threat.norm)
    axes = [Axis(norm, "eps", f"budget ε ({NORM_TITLES[norm]})", norm, True) for norm in norms]
    swept: dict[str, Axis] = {}
    for evaluation in results.evaluations:
        for attack in evaluation.attacks:
            for option in _varying(attack, evaluation.attacks):
                if option != "eps" and _is_number(attack.params[option]):
                    swept.setdefault(option, _swept_axis(attack, option))
    return [*axes, *swept.values()]


def lines_on(axis: Axis, evaluation: Evaluation) -> dict[str, Line]:
    """Return an evaluation's lines on an axis by what the legend calls them."""
    lines: dict[str, Line] = {}
    for number, attack in enumerate(evaluation.attacks):
        if _is_on(axis, attack, evaluation.attacks):
            lines.setdefault(_legend(attack, evaluation, axis), []).append((number, attack))
    return lines


@functools.cache
def strength_of(attack: str) -> Strength | None:
    """Return what an attack declares as its strength; `None` where no such plugin is installed."""
    try:
        loaded = find("attacks", attack).load()
    except RobustError:
        return None
    return loaded.strength if issubclass(loaded, Attack) else None


def _swept_axis(attack: AttackResult, option: str) -> Axis:
    strength = strength_of(attack.name)
    if strength is not None and strength.option == option:
        return Axis(option, option, strength.label, None, True)
    return Axis(option, option, option, None, False)


def _is_on(axis: Axis, attack: AttackResult, attacks: Sequence[AttackResult]) -> bool:
    if axis.norm is not None:
        return attack.threat.norm == axis.norm
    return axis.option in _varying(attack, attacks) and _is_number(attack.params[axis.option])


def _varying(attack: AttackResult, attacks: Iterable[AttackResult]) -> list[str]:
    """Return the options in which an attack differs from another run of the same attack."""
    same = [
        other.params
        for other in attacks
        if (other.name, other.crafted_on) == (attack.name, attack.crafted_on)
    ]
    return [
        option
        for option, value in attack.params.items()
        if any(option in params and params[option] != value for params in same)
    ]


def _legend(attack: AttackResult, evaluation: Evaluation, axis: Axis) -> str:
    """Return what tells one line from another: what was crafted elsewhere is another attack."""
    elsewhere = attack.crafted_on not in (None, evaluation.classifier.name)
    origin = f", crafted on {attack.crafted_on}" if elsewhere else ""
    others = [
        f", {option}={printable(str(attack.params[option]), limit=_LONGEST)}"
        for option in _varying(attack, evaluation.attacks)
        if option != axis.option and not (axis.norm and option == "norm")
    ]
    return attack.name + origin + "".join(others)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
