"""Whether every name that a study file mentions is declared, and every figure will be measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tfrobust.study.schema.declared import check_declared
from tfrobust.study.schema.grid import Condition, Scale, View
from tfrobust.study.schema.output_checks import check_outputs
from tfrobust.study.schema.study import Study


def check_names(study: Study) -> None:
    """Refuse a study that mentions what it does not declare.

    Raises:
        ValueError: where, what, and the nearest name.
    """
    scenarios = dict.fromkeys(_scenarios(study))
    for name, scale in study.scales.items():
        _check_scale(study, f"scales.{name}", scale, scenarios)
    for name, network in study.networks.items():
        where = f"networks.{name}"
        _check_base(study, name, network.base)
        check_declared(f"{where}.scenario_options", network.scenario_options, scenarios)
        for defense in network.defenses:
            named = defense.networks.values()
            check_declared(f"{where}.{defense.name}", named, study.networks)
    for name, condition in study.conditions.items():
        where = f"conditions.{name}"
        _check_condition(study, where, condition)
        check_declared(f"{where}.scenario_options", condition.scenario_options, scenarios)
    check_outputs(study)


def _scenarios(study: Study) -> Iterator[str]:
    """Yield the names of all scenarios and shifts that a study opens."""
    scales, conditions = study.scales.values(), study.conditions.values()
    scenarios = [scale.scenario for scale in scales]
    scenarios += [name for scale in scales for name in scale.scenarios.values()]
    scenarios += [condition.scenario for condition in conditions if condition.scenario]
    parts = [part for scenario in scenarios for part in scenario.split("+")]
    parts += [network.shift for network in study.networks.values() if network.shift]
    parts += [condition.shift for condition in conditions if condition.shift]
    for part in parts:
        yield part.partition(".")[0]


def _check_scale(study: Study, where: str, scale: Scale, scenarios: Mapping[str, Any]) -> None:
    check_declared(f"{where}.scenario_options", scale.scenario_options, scenarios)
    check_declared(where, scale.networks or (), study.networks)
    check_declared(f"{where}.model_options", scale.model_options, study.networks)
    check_declared(f"{where}.train_of", scale.train_of, study.networks)
    _check_defense_options(study, f"{where}.defense_options", scale.defense_options)
    check_declared(f"{where}.models", scale.models, study.networks)
    check_declared(f"{where}.scenarios", scale.scenarios, study.networks)
    check_declared(where, scale.conditions or (), study.conditions)
    check_declared(f"{where}.images_of", scale.images_of, study.conditions)
    check_declared(f"{where}.seeds_of", scale.seeds_of, {**study.networks, **study.conditions})
    check_declared(f"{where}.options", scale.options, dict.fromkeys(_plugins(study)))


def _check_defense_options(study: Study, where: str, given: Mapping[str, Any]) -> None:
    check_declared(where, given, study.networks)
    for network, options in given.items():
        defenses = dict.fromkeys(plugin.name for plugin in study.networks[network].defenses)
        check_declared(f"{where}.{network}", options, defenses)


def _plugins(study: Study) -> Iterator[str]:
    """Yield the names of all plugins with options: attacks, detectors, defences."""
    for condition in study.conditions.values():
        yield from (detector.name for detector in condition.detectors)
        yield from (attack.name for attack in (*condition.all_attacks, *condition.certifiers))
    chains = [network.defenses for network in study.networks.values()]
    chains += [view.defenses for view in study.views.values()]
    for defenses in chains:
        yield from (defense.name for defense in defenses)


def _check_base(study: Study, name: str, base: str | None) -> None:
    """Refuse an unknown base, and one that leads back to the network itself."""
    met = [name]
    while base is not None:
        check_declared(f"networks.{name}", [base], study.networks)
        if base in met:
            raise ValueError(f"networks.{name}: is based on itself, through {', '.join(met)}")
        met.append(base)
        base = study.networks[base].base


def _check_condition(study: Study, where: str, condition: Condition) -> None:
    check_declared(where, condition.views, study.views)
    check_declared(where, condition.networks or (), study.networks)
    for network in condition.networks or study.networks:
        _check_other_networks(study, where, network, [study.views[v] for v in condition.views])
    for name in condition.judged:
        view = study.views[name]
        if condition.footprint and view.learned_from and view.defenses:
            raise ValueError(f"{where}: view {name!r} is priced; it may have no more defenses")
    _check_detectors(where, condition)
    _check_together(where, condition)
    _check_sweep(where, condition)


def _check_other_networks(study: Study, where: str, network: str, views: Iterable[View]) -> None:
    """Refuse views that need networks that are not there."""
    base = study.networks[network].base
    for view in views:
        replacement = view.replacement_of(base)
        if view.replacement is not None and replacement is None:
            raise ValueError(f"{where}: {network!r} is based on nothing that is looked at instead")
        needed = [name for name in (view.donor_of(network), replacement) if name]
        check_declared(where, needed, study.networks)


def _check_detectors(where: str, condition: Condition) -> None:
    if condition.histogram is not None:
        detectors = dict.fromkeys(detector.name for detector in condition.detectors)
        check_declared(f"{where}.histogram", [condition.histogram.detector], detectors)
    if condition.detectors and condition.detected not in condition.judged:
        raise ValueError(f"{where}: detectors look at a view that is judged; name it in `detected`")


def _check_together(where: str, condition: Condition) -> None:
    names = [attack.name for attack in condition.attacks]
    if condition.certifiers and not condition.all_attacks:
        raise ValueError(f"{where}: certifiers have the budgets of attacks; name some")
    if condition.adaptive and not names:
        raise ValueError(f"{where}: adaptive attacks have the budgets of `attacks`; name some")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: attacks: each one once; received: {', '.join(names)}")
    alone = {
        "attack": condition.attack,
        "crafted_on": condition.crafted_on,
        "detectors": condition.detectors,
        "exhibits": condition.exhibits,
        "projected": condition.projected,
    }
    if names and any(alone.values()):
        given = ", ".join(name for name, value in alone.items() if value)
        raise ValueError(f"{where}: attacks: are measured together, and without {given}")


def _check_sweep(where: str, condition: Condition) -> None:
    if condition.attack is None and (condition.sweep or condition.within):
        raise ValueError(f"{where}: a sweep, or a distance to keep to, needs an attack")
    if condition.sweep is None:
        return
    if condition.detectors:
        raise ValueError(f"{where}: detectors are judged on one attack, not on a sweep")
    values = dict.fromkeys(condition.sweep.names.values())
    averaged = [f"{value:g}" for value in condition.sweep.averaged]
    check_declared(f"{where}.sweep.averaged", averaged, values)
