"""Which adaptive attacks a classifier is attacked by, and at which budgets."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.attack import Attack
from tfrobust.classifier import AppliedDefense, Classifier
from tfrobust.errors import RobustError, UsageError
from tfrobust.options import has_option
from tfrobust.registry import create
from tfrobust.types import Budgets, Norm

Budget = tuple[Norm | None, float]  # no norm: that of the attack


@dataclasses.dataclass(frozen=True)
class KnowingAttack:
    """An adaptive attack at a budget.

    Attributes:
        attack: with its options.
        defenses: the names of those that declare it, innermost first.
        declared: as each of them declares it.
    """

    attack: Attack
    defenses: tuple[str, ...]
    declared: tuple[AdaptiveAttack, ...]


def declared_by(defense: AppliedDefense) -> tuple[AdaptiveAttack, ...]:
    """Return the adaptive attacks of a defence: those of its plugin, or of the record without it.

    Example:
        >>> declared_by(load("rounded").defenses[0])[0].attack
        'pgd'
    """
    with contextlib.suppress(RobustError):  # not installed, or of other options by now
        plugin = create("defenses", defense.name, **defense.params)
        return tuple(plugin.adaptive)
    return defense.adaptive


def knowing_attacks(
    classifier: Classifier, name: str, budgets: Sequence[Budget]
) -> list[KnowingAttack]:
    """Return the adaptive attacks of all defences of a classifier, at each budget of their norms.

    Args:
        classifier: with its defences.
        name: in messages.
        budgets: a norm and an ε each; of none, attacks that have a budget are not run.

    Returns:
        No attack twice; none, if no defence declares any.

    Raises:
        UsageError: it declares some, and no budget is in a norm of theirs.
        PluginError: an attack that it declares is broken.
    """
    known: dict[Attack, KnowingAttack] = {}
    for defense in classifier.defenses:
        for declared in declared_by(defense):
            for attack in _at_budgets(declared, budgets):
                earlier = known.get(attack, KnowingAttack(attack, (), ()))
                known[attack] = KnowingAttack(
                    attack, (*earlier.defenses, defense.name), (*earlier.declared, declared)
                )
    norms = {norm for defense in classifier.defenses for norm in _norms(defense)}
    if norms and not known:
        raise UsageError(
            f"adaptive: {name}: its defences are attacked in {', '.join(sorted(norms))}; expected "
            "a budget of such a norm; give --eps, or an attack with one (--attack pgd --eps 0.1)"
        )
    return list(known.values())


def _norms(defense: AppliedDefense) -> Iterator[str]:
    for declared in declared_by(defense):
        own = create("attacks", declared.attack, **declared.options).threat.norm
        yield from (norm for norm in (own, *declared.norms) if norm)


def _at_budgets(declared: AdaptiveAttack, budgets: Sequence[Budget]) -> Iterator[Attack]:
    """Yield the attack at each budget that is in a norm of its own."""
    attack = create("attacks", declared.attack, **declared.options)
    if not has_option(attack, "eps"):
        yield attack
        return
    own = attack.threat.norm
    for norm, eps in dict.fromkeys(budgets):
        if norm in (None, own):
            yield create("attacks", declared.attack, **declared.options, eps=eps)
        elif norm in declared.norms:
            options = {**declared.options, "norm": norm, "eps": eps}
            yield create("attacks", declared.attack, **options)


def budgets_of(attacks: Sequence[Attack], adaptive: Budgets) -> list[Budget]:
    """Return the budgets of adaptive attacks: those given, or those of the other attacks.

    Example:
        >>> budgets_of([create("attacks", "pgd", eps=0.1)], ())
        [('linf', 0.1)]
    """
    if isinstance(adaptive, Mapping):
        return [(norm, eps) for norm, values in adaptive.items() for eps in values]
    if adaptive:
        return [(None, eps) for eps in adaptive]
    return [
        (attack.threat.norm, attack.budget)
        for attack in attacks
        if attack.threat.norm is not None and attack.budget is not None
    ]
