"""Scenarios by name: framed, and seen through a shift.

`-p mnist.size=56` resizes the images of a scenario; `mnist+fog.3` then shifts them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfrobust import registry
from tfrobust.data.framing import Framed, Framing
from tfrobust.data.shifted import Shifted
from tfrobust.errors import UsageError, did_you_mean
from tfrobust.options import Option, build, describe
from tfrobust.scenario import Scenario, Shift

_OPTIONS = tuple(field.name for field in dataclasses.fields(Framing))


def scenario_record(scenario: Scenario) -> dict[str, Any]:
    """Return name and options of a scenario, and of its shift, as cards and plans record them."""
    if isinstance(scenario, Shifted):
        shift = {**registry.signature(scenario.shift), "seed": scenario.seed}
        return {**scenario_record(scenario.base), "shift": shift}
    return {"name": registry.name_of(scenario), "params": scenario.options}


def open_scenario(
    name: str, options: dict[str, dict[str, Any]] | None = None, *, seed: int = 0
) -> Scenario:
    """Build a scenario from its name: `cifar10`, with a shift `cifar10+b2`, at a severity
    `cifar10+fog.3`.

    Args:
        name: scenario, `+shift` and `.severity` as above.
        options: plugin name → its options.
        seed: of the shift.

    Raises:
        UsageError: an unknown name or option, or options of a plugin that the name does not name.

    Example:
        >>> open_scenario("digits").image_shape
        (8, 8, 1)
    """  # noqa: D205 (the first sentence needs two lines)
    options = options or {}
    _check_owners(options, parts_of(name))
    base_name, plus, shift_name = name.partition("+")
    base = framed(base_name, options.get(base_name, {}))
    if not plus:
        return base
    return Shifted(base, _shift(shift_name, options), seed)


def parts_of(name: str) -> list[str]:
    """Return the names of the plugins that a scenario's name mentions.

    Example:
        >>> parts_of("cifar10+fog.3")
        ['cifar10', 'fog']
    """
    base, _, shift = name.partition("+")
    return [base, *([shift.partition(".")[0]] if shift else [])]


def _check_owners(options: Mapping[str, Any], named: list[str]) -> None:
    """Refuse options of plugins that are not asked for: they would be ignored.

    Raises:
        UsageError: names the plugins that options may be given for.
    """
    for owner, values in options.items():
        if owner in named and isinstance(values, Mapping):
            continue
        name, dot, key = owner.partition(".")
        if dot and name in named:
            raise UsageError(
                f"options: expected plugin → option → value; received: {owner!r}; write "
                f"{{{name!r}: {{{key!r}: …}}}}"
            )
        if owner in named:
            raise UsageError(
                f"options: expected {owner!r} → option → value; received: {values!r}; write "
                f"{{{owner!r}: {{option: value}}}}"
            )
        raise UsageError(
            f"options: no plugin {owner!r} in {'+'.join(named)!r}{did_you_mean(owner, named)} "
            f"(options may be given for: {', '.join(named)})"
        )


def reshifted(scenario: Scenario, shift: str) -> Shifted:
    """Return a scenario seen through another shift than its own, if it has one.

    Args:
        scenario: with or without a shift.
        shift: its name, with a severity where it has some: `b2`, `fog.3`.

    Raises:
        UsageError: an unknown name.

    Example:
        >>> reshifted(open_scenario("digits+fog.3"), "b2").shift_name
        'b2'
    """
    if isinstance(scenario, Shifted):
        return Shifted(scenario.base, _shift(shift, {}), scenario.seed)
    return Shifted(scenario, _shift(shift, {}))


def _shift(spelled: str, options: Mapping[str, dict[str, Any]]) -> Shift:
    """Build a shift from `NAME` or `NAME.SEVERITY`."""
    name, dot, severity = spelled.partition(".")
    if not name or (dot and not severity):
        raise UsageError(f"shift: expected NAME or NAME.SEVERITY; received: {spelled!r}")
    values = dict(options.get(name, {}))
    if severity:
        if str(values.get("severity", severity)) != severity:
            raise UsageError(
                f"{name}: severity: given twice, as {spelled!r} and as {values['severity']!r}"
            )
        values["severity"] = severity
    shift: Shift = registry.create("shifts", name, **values)
    return shift


def framed(name: str, values: Mapping[str, Any]) -> Scenario:
    """Build a scenario from options of its own and of its framing.

    Args:
        name: of the plugin.
        values: option → value, which may still be a string.

    Raises:
        UsageError: an unknown name or option, or a value out of range.

    Example:
        >>> framed("digits", {"size": 16, "channels": 3}).image_shape
        (16, 16, 3)
    """
    cls = registry.find("scenarios", name).load()
    beside = _beside(cls)
    own = {key: value for key, value in values.items() if key not in beside}
    base: Scenario = build(cls, name, own, beside=beside)
    framing = build(Framing, name, {key: values[key] for key in values if key in beside})
    return base if framing == Framing() else Framed(base, framing)


def options_of(kind: str, cls: type) -> list[Option]:
    """Return the options of a plugin, those of a scenario's framing that it has not itself too."""
    if kind != "scenarios":
        return describe(cls)
    beside = _beside(cls)
    return describe(cls) + [option for option in describe(Framing) if option.name in beside]


def _beside(cls: type) -> tuple[str, ...]:
    """Return the options of framing that a scenario does not declare itself."""
    own = {field.name for field in dataclasses.fields(cls)}
    return tuple(name for name in _OPTIONS if name not in own)
