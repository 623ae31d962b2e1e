"""Whether every name that a study file mentions is declared, and every figure will be measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tfrobust.errors import did_you_mean
from tfrobust.study.schema.measured import Measured
from tfrobust.types import Norm

if TYPE_CHECKING:
    from tfrobust.study.schema.study import Condition, Study, View

NORMS: tuple[Norm, ...] = ("l0", "l1", "l2", "linf")
CLEAN = ("clean", "clean_low", "clean_high", "error", "gain")
PRICED = ("megabytes", "milliseconds")
LENT = ("part_megabytes", "int8_megabytes", "int8_accuracy", "int8_milliseconds")
ATTACKED = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "adversarial_accuracy",
    "success_rate",
    "fooling_ratio",
    "gradients",
    "queries",
    "violations",
    *(f"median_{norm}" for norm in NORMS),
)
DETECTED = (
    "auroc",
    "accuracy",
    "tpr_at_5_fpr",
    "threshold",
    "clean_mean",
    "clean_variance",
    "adversarial_mean",
    "adversarial_variance",
    "fooling_images",
    "fooling_auroc",
    "fooling_accuracy",
    "fooling_tpr_at_5_fpr",
)
MEAN = "mean"


def figures_of(study: Study, condition: Condition) -> set[str]:
    """Return the names of the figures that a cell under this condition has."""
    ends = [""]
    if condition.sweep is not None:
        ends = [f"@{name}" for name in (*condition.sweep.names.values(), MEAN)]
    named = (*ATTACKED, *(["accuracy_within"] if condition.within else []))
    attacked = [name + end for name in named for end in ends] if condition.attack else []
    found = {f"{view}.{name}" for view in condition.judged for name in (*CLEAN, *attacked)}
    told = {f"weight_{name}" for each in study.networks.values() for name in each.streams}
    told |= {name for each in study.networks.values() for name in each.found}
    found |= {f"{view}.{name}" for view in condition.judged for name in told}
    if condition.priced:
        found |= {f"{view}.{name}" for view in condition.judged for name in PRICED}
        lent = (view for view in condition.judged if study.views[view].learned_from)
        found |= {f"{view}.{name}" for view in lent for name in LENT}
    return found | {
        f"{condition.detected}.{detector.name}.{name}"
        for detector in condition.detectors
        for name in DETECTED
    }


def check_names(study: Study) -> None:
    """Refuse a study that mentions what it does not declare.

    Raises:
        ValueError: where, what, and the nearest name.
    """
    opened = dict.fromkeys(_opened(study))
    for name, scale in study.scales.items():
        _known(f"scales.{name}.scenario_options", scale.scenario_options, opened)
        _known(f"scales.{name}", scale.networks or (), study.networks)
        _known(f"scales.{name}.model_options", scale.model_options, study.networks)
        _known(f"scales.{name}.train_of", scale.train_of, study.networks)
        _check_defense_options(study, f"scales.{name}.defense_options", scale.defense_options)
        _known(f"scales.{name}.models", scale.models, study.networks)
        _known(f"scales.{name}.scenarios", scale.scenarios, study.networks)
        _known(f"scales.{name}", scale.conditions or (), study.conditions)
        _known(f"scales.{name}.images_of", scale.images_of, study.conditions)
        _known(f"scales.{name}.options", scale.options, dict.fromkeys(_plugins(study)))
    for name, network in study.networks.items():
        _check_base(study, name, network.base)
        _known(f"networks.{name}.scenario_options", network.scenario_options, opened)
        for defense in network.defenses:
            _known(f"networks.{name}.{defense.name}", defense.networks.values(), study.networks)
    for name, condition in study.conditions.items():
        _check_condition(study, f"conditions.{name}", condition)
        _known(f"conditions.{name}.scenario_options", condition.scenario_options, opened)
    for where, measured in _measured(study):
        _check_figure(study, where, measured)
    _check_shown(study)


def _opened(study: Study) -> Iterator[str]:
    """Yield the names of all scenarios and shifts that a study opens."""
    scales, conditions = study.scales.values(), study.conditions.values()
    spelled = [each.scenario for each in scales]
    spelled += [name for each in scales for name in each.scenarios.values()]
    spelled += [each.scenario for each in conditions if each.scenario]
    shifts = [each.shift for each in study.networks.values()] + [each.shift for each in conditions]
    for name in [part for each in spelled for part in each.split("+")] + list(filter(None, shifts)):
        yield name.partition(".")[0]


def _check_condition(study: Study, where: str, condition: Condition) -> None:
    _known(where, condition.views, study.views)
    _known(where, condition.networks or (), study.networks)
    for network in condition.networks or study.networks:
        _check_others(study, where, network, [study.views[view] for view in condition.views])
    for view in condition.judged:
        if condition.priced and study.views[view].learned_from and study.views[view].defenses:
            raise ValueError(f"{where}: view {view!r} is priced; it may have no more defenses")
    if condition.histogram is not None:
        detectors = dict.fromkeys(detector.name for detector in condition.detectors)
        _known(f"{where}.histogram", [condition.histogram.detector], detectors)
    if condition.detectors and condition.detected not in condition.judged:
        raise ValueError(f"{where}: detectors look at a view that is judged; name it in `detected`")
    if condition.attack is None and (condition.sweep or condition.within):
        raise ValueError(f"{where}: a sweep, or a distance to keep to, needs an attack")
    if condition.sweep is not None:
        if condition.detectors:
            raise ValueError(f"{where}: detectors are judged on one attack, not on a sweep")
        values = dict.fromkeys(condition.sweep.names.values())
        _known(f"{where}.sweep.averaged", (f"{v:g}" for v in condition.sweep.averaged), values)


def _check_others(study: Study, where: str, network: str, views: Iterable[View]) -> None:
    """Refuse views that look at networks that are not there."""
    base = study.networks[network].base
    for view in views:
        if view.instead is not None and view.replacement(base) is None:
            raise ValueError(f"{where}: {network!r} is based on nothing that is looked at instead")
        others = (view.lender(network), view.replacement(base))
        _known(where, filter(None, others), study.networks)


def _check_defense_options(study: Study, where: str, given: Mapping[str, Any]) -> None:
    _known(where, given, study.networks)
    for network, options in given.items():
        defenses = dict.fromkeys(each.name for each in study.networks[network].defenses)
        _known(f"{where}.{network}", options, defenses)


def _check_base(study: Study, name: str, base: str | None) -> None:
    """Refuse an unknown base, and one that leads back to the network itself."""
    met = [name]
    while base is not None:
        _known(f"networks.{name}", [base], study.networks)
        if base in met:
            raise ValueError(f"networks.{name}: is based on itself, through {', '.join(met)}")
        met.append(base)
        base = study.networks[base].base


def _check_figure(study: Study, where: str, measured: Measured) -> None:
    _known(where, [measured.condition], study.conditions)
    figures = sorted(figures_of(study, study.conditions[measured.condition]))
    _known(f"{where}: {measured.condition}", [measured.figure], dict.fromkeys(figures))


def _check_shown(study: Study) -> None:
    for number, table in enumerate(study.tables):
        where = f"tables[{number}]"
        _known(where, filter(None, (c.beside for c in table.columns)), study.conditions)
        _known(where, (*table.paper, *(table.rows or ())), study.networks)
        for row, figures in table.paper.items():
            if len(figures) != len(table.columns):
                raise ValueError(f"{where}.paper.{row}: expected {len(table.columns)} figures")
    for number, claim in enumerate(study.claims):
        for check in claim.checks:
            _known(f"claims[{number}]", (*check.networks, *check.winners), study.networks)
    for number, histograms in enumerate(study.histograms):
        where = f"histograms[{number}]"
        _known(where, [histograms.condition], study.conditions)
        _known(where, histograms.networks, study.networks)
        if study.conditions[histograms.condition].histogram is None:
            raise ValueError(f"{where}: condition {histograms.condition!r} keeps no histogram")
    _check_pictures(study)


def _check_pictures(study: Study) -> None:
    pictures = [("galleries", g.condition, g.rows) for g in study.galleries]
    pictures += [("scatters", s.condition, s.panels) for s in study.scatters]
    for where, condition, parts in pictures:
        _known(where, [condition], study.conditions)
        _known(where, (part.network for part in parts), study.networks)
        judged = dict.fromkeys(study.conditions[condition].judged)
        _known(f"{where}: {condition}", (part.view for part in parts), judged)
        if not study.conditions[condition].exhibits:
            raise ValueError(f"{where}: condition {condition!r} keeps no exhibits")
    for number, projection in enumerate(study.projections):
        where = f"projections[{number}]"
        _known(where, [projection.condition], study.conditions)
        _known(where, [projection.network], study.networks)
        if not study.conditions[projection.condition].projected:
            raise ValueError(f"{where}: condition {projection.condition!r} keeps no projections")
    for number, bars in enumerate(study.bars):
        _known(f"bars[{number}]", bars.networks, study.networks)
        for figure in bars.figures.values():
            _check_figure(
                study, f"bars[{number}]", Measured(condition=bars.condition, figure=figure)
            )
    _check_curves(study)


def _check_curves(study: Study) -> None:
    for number, curves in enumerate(study.curves):
        where = f"curves[{number}]"
        _known(where, (*curves.networks, *(line.network for line in curves.lines)), study.networks)
        for panel in curves.panels:
            _known(where, [panel.condition], study.conditions)
            sweep = study.conditions[panel.condition].sweep
            if sweep is None:
                raise ValueError(f"{where}: condition {panel.condition!r} has no sweep")
            first = next(iter(sweep.names.values()))
            for figure in {curves.figure, *(line.figure for line in curves.lines)} - {""}:
                measured = Measured(condition=panel.condition, figure=f"{figure}@{first}")
                _check_figure(study, where, measured)


def _measured(study: Study) -> Iterator[tuple[str, Measured]]:
    """Yield every figure that tables, claims and verdicts ask for, with where they do."""
    asked: list[tuple[str, Measured]] = [
        (f"tables[{number}]", column)
        for number, table in enumerate(study.tables)
        for column in table.columns
    ]
    asked += [
        (f"claims[{number}]", check.value)
        for number, claim in enumerate(study.claims)
        for check in claim.checks
    ]
    asked += [
        (f"masked[{number}]", each)
        for number, rule in enumerate(study.masked)
        for each in (rule.naive, *rule.adaptive)
    ]
    for where, measured in asked:
        for each in measured.parts:
            yield where, each


def _plugins(study: Study) -> Iterator[str]:
    """Yield the names of all plugins with options: attacks, detectors, defences."""
    for condition in study.conditions.values():
        yield from (detector.name for detector in condition.detectors)
        if condition.attack:
            yield condition.attack.name
    for defenses in (each.defenses for each in study.networks.values()):
        yield from (defense.name for defense in defenses)
    for defenses in (each.defenses for each in study.views.values()):
        yield from (defense.name for defense in defenses)


def _known(where: str, names: Iterable[str], known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where}: {name!r} is not declared{did_you_mean(name, known)}")
