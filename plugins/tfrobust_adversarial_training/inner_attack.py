"""The attack inside a training: any plugin that can be traced into a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfrobust.attack import Attack
from tfrobust.errors import UsageError
from tfrobust.options import describe
from tfrobust.registry import create, find


def inner_attack(
    defense: str, called: str, wanted: Mapping[str, Any], more: Mapping[str, Any] | None
) -> Attack:
    """Return the attack that each step of a training runs.

    Args:
        defense: whose, for messages.
        called: the attack's name.
        wanted: options that are given to an attack that has them, such as `eps` and `steps`.
        more: options that are given in any case.

    Raises:
        UsageError: there is no such attack, it is targeted, cannot be traced or wants boxes.
    """
    known = {each.name for each in describe(find("attacks", called).load())}
    steps = {"nb_iter": wanted["steps"]} if "steps" in wanted else {}  # CleverHans's word for them
    offered = {**wanted, **steps, "early_stop": False}
    chosen = {key: value for key, value in offered.items() if key in known}
    attack: Attack = create("attacks", called, **(chosen | dict(more or {})))
    if attack.threat.targeted or attack.eager or attack.needs_boxes:
        raise UsageError(
            f"{defense}: attack: expected an untargeted attack on whole images that runs in "
            f"tf.function; received: {called!r}"
        )
    return attack
