"""Attacks of an attacker who knows the defence, as a defence declares them.

Athalye, Carlini & Wagner, "Obfuscated gradients give a false sense of security" (2018); Tramèr,
Carlini, Brendel & Madry, "On adaptive attacks to adversarial example defenses" (2020).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfrobust.files.record_types import AttackParams, Text
from tfrobust.types import Norm


@dataclasses.dataclass(frozen=True)
class AdaptiveAttack:
    """An attack of somebody who knows the defence; it follows the defence's surrogate.

    Attributes:
        attack: its name in the registry, such as `pgd`.
        options: of the attack, without its budget.
        why: what makes it strong against this defence, in a line.
        source: the paper that broke or examined the defence.
        norms: further norms it is run in, by its option `norm`. Its own norm is that of the attack
            with these options.

    Example:
        >>> AdaptiveAttack("pgd", {"steps": 100}, "rounding has no gradient: BPDA by the identity",
        ...                "Athalye et al. 2018", norms=("l2",))
    """

    attack: Text
    options: AttackParams = dataclasses.field(default_factory=dict[str, Any])
    why: Text = ""
    source: Text = ""
    norms: tuple[Norm, ...] = ()


def descent(why: str, source: str, **options: Any) -> tuple[AdaptiveAttack, ...]:
    """Return PGD in every norm, as somebody runs it who knows the defence.

    Args:
        why: it works.
        source: the paper that broke or examined the defence.
        **options: of the attack; 100 steps unless they say otherwise.

    Example:
        >>> descent("the codec has no gradient: BPDA by the identity", "Athalye et al. 2018")
    """
    return (AdaptiveAttack("pgd", {"steps": 100} | options, why, source, norms=("l2", "l1")),)


def long_ascent(why: str, source: str) -> tuple[AdaptiveAttack, ...]:
    """Return PGD on the margin from three starts, for what has the right gradients.

    Args:
        why: it works.
        source: the paper that examined the defence.

    Example:
        >>> long_ascent("its gradients are right", "Carlini et al. 2019")
    """
    return descent(why, source, restarts=3, loss="margin")
