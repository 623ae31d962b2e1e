"""Whether tables, claims and pictures of a study refer to figures that its cells will have."""

from __future__ import annotations

from collections.abc import Iterator

from tfrobust.study.schema.declared import check_declared
from tfrobust.study.schema.figures import at_value, figures_of
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.study import Study
from tfrobust.study.schema.summary import ALL, placeholders


def check_outputs(study: Study) -> None:
    """Refuse outputs of what is not declared, or is not measured.

    Args:
        study: whose networks, views and conditions are sound.

    Raises:
        ValueError: where, what, and the nearest name.
    """
    for where, measured in _referred(study):
        _check_figure(study, where, measured)
    _check_tables(study)
    _check_claims(study)
    _check_summaries(study)
    _check_histograms(study)
    _check_exhibits(study)
    _check_projections(study)
    _check_bars(study)
    _check_curves(study)


def _referred(study: Study) -> Iterator[tuple[str, Measured]]:
    """Yield every figure that tables, claims and verdicts refer to, with where they do."""
    referred: list[tuple[str, Measured]] = [
        (f"tables[{number}]", column)
        for number, table in enumerate(study.tables)
        for column in table.columns
    ]
    referred += [
        (f"claims[{number}]", check.value)
        for number, claim in enumerate(study.claims)
        for check in claim.checks
    ]
    referred += [
        (f"claims[{number}].needs", need.measured)
        for number, claim in enumerate(study.claims)
        for need in (*claim.needs, *(need for check in claim.checks for need in check.needs))
    ]
    referred += [
        (f"masked[{number}]", measured)
        for number, rule in enumerate(study.masked)
        for measured in (rule.naive, *rule.adaptive)
    ]
    for where, measured in referred:
        for part in measured.parts:
            yield where, part


def _check_figure(study: Study, where: str, measured: Measured) -> None:
    check_declared(where, [measured.condition], study.conditions)
    figures = sorted(figures_of(study, study.conditions[measured.condition]))
    where = f"{where}: {measured.condition}"
    check_declared(where, [measured.figure], dict.fromkeys(figures))


def _check_claims(study: Study) -> None:
    for number, claim in enumerate(study.claims):
        for check in claim.checks:
            named = (*check.networks, *check.winners)
            check_declared(f"claims[{number}]", named, study.networks)
            among = dict.fromkeys(check.networks)
            check_declared(f"claims[{number}].winners", check.winners, among)
            for need in (*claim.needs, *check.needs):
                check_declared(f"claims[{number}].needs", need.networks or (), study.networks)


def _check_summaries(study: Study) -> None:
    """Refuse a summary that mentions a figure which no cell will have."""
    summaries = {"summary": study.summary}
    summaries |= {f"scales.{name}.summary": scale.summary for name, scale in study.scales.items()}
    for where, summary in summaries.items():
        for line, text in summary.texts.items() if summary else ():
            for placeholder in placeholders(text):
                if placeholder.networks != (ALL,):
                    check_declared(f"{where}.{line}", placeholder.networks, study.networks)
                for part in placeholder.measured.parts:
                    _check_figure(study, f"{where}.{line}", part)


def _check_tables(study: Study) -> None:
    for number, table in enumerate(study.tables):
        where = f"tables[{number}]"
        beside = [column.beside for column in table.columns if column.beside]
        check_declared(where, beside, study.conditions)
        check_declared(where, (*table.paper, *(table.rows or ())), study.networks)
        for row, figures in table.paper.items():
            if len(figures) != len(table.columns):
                raise ValueError(f"{where}.paper.{row}: expected {len(table.columns)} figures")


def _check_histograms(study: Study) -> None:
    for number, histograms in enumerate(study.histograms):
        where, condition = f"histograms[{number}]", histograms.condition
        check_declared(where, [condition], study.conditions)
        check_declared(where, histograms.networks, study.networks)
        if study.conditions[condition].histogram is None:
            raise ValueError(f"{where}: condition {condition!r} keeps no histogram")


def _check_exhibits(study: Study) -> None:
    exhibits = [("galleries", gallery.condition, gallery.rows) for gallery in study.galleries]
    exhibits += [("scatters", scatter.condition, scatter.panels) for scatter in study.scatters]
    for where, condition, parts in exhibits:
        check_declared(where, [condition], study.conditions)
        check_declared(where, (part.network for part in parts), study.networks)
        judged = dict.fromkeys(study.conditions[condition].judged)
        check_declared(f"{where}: {condition}", (part.view for part in parts), judged)
        if not study.conditions[condition].exhibits:
            raise ValueError(f"{where}: condition {condition!r} keeps no exhibits")


def _check_projections(study: Study) -> None:
    for number, projection in enumerate(study.projections):
        where, condition = f"projections[{number}]", projection.condition
        check_declared(where, [condition], study.conditions)
        check_declared(where, [projection.network], study.networks)
        if not study.conditions[condition].projected:
            raise ValueError(f"{where}: condition {condition!r} keeps no projections")


def _check_bars(study: Study) -> None:
    for number, bars in enumerate(study.bars):
        where = f"bars[{number}]"
        check_declared(where, bars.networks, study.networks)
        for figure in bars.figures.values():
            _check_figure(study, where, Measured(condition=bars.condition, figure=figure))


def _check_curves(study: Study) -> None:
    for number, curves in enumerate(study.curves):
        where = f"curves[{number}]"
        named = (*curves.networks, *(line.network for line in curves.lines))
        check_declared(where, named, study.networks)
        figures = {curves.figure, *(line.figure for line in curves.lines)} - {""}
        for panel in curves.panels:
            check_declared(where, [panel.condition], study.conditions)
            sweep = study.conditions[panel.condition].sweep
            if sweep is None:
                raise ValueError(f"{where}: condition {panel.condition!r} has no sweep")
            first = next(iter(sweep.names.values()))
            for figure in figures:
                measured = Measured(condition=panel.condition, figure=at_value(figure, first))
                _check_figure(study, where, measured)
