"""The lines of a study's curves, looked up in its cells: a figure along a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfrobust.study.results.lookup import Lookup
from tfrobust.study.schema.figures import at_value
from tfrobust.study.schema.measured import Measured
from tfrobust.study.schema.pictures import Curve, Curves
from tfrobust.study.schema.study import Study

Line = tuple[list[float], np.ndarray]  # values of the sweep; figures (values, seeds)


@dataclasses.dataclass(frozen=True)
class Swept:
    """One picture of curves, with what is known of them.

    Attributes:
        declared: the picture, as the study declares it.
        curves: what is drawn in each panel.
        lines: `(condition, curve)` → the line, of what is finished; at least one.
    """

    declared: Curves
    curves: Sequence[Curve]
    lines: dict[tuple[str, Curve], Line]

    @property
    def logarithmic_from(self) -> float | None:
        """From where on the sweep is drawn logarithmically; `None`: nowhere."""
        if self.declared.xscale != "symlog":
            return None
        return min(value for values, _ in self.lines.values() for value in values if value > 0)


def swept_curves(study: Study, lookup: Lookup) -> Iterator[Swept]:
    """Yield each picture of curves of which some line is finished.

    Args:
        study: the study.
        lookup: its results.
    """
    for declared in study.curves:
        curves = _declared_lines(study, declared)
        lines = {
            (panel.condition, curve): line
            for panel in declared.panels
            for curve in curves
            if (line := _line(study, panel.condition, curve, lookup)) is not None
        }
        if lines:
            yield Swept(declared, curves, lines)


def _declared_lines(study: Study, declared: Curves) -> Sequence[Curve]:
    """Return what is drawn in each panel."""
    return declared.lines or [
        Curve(title=study.networks[name].title, network=name, figure=declared.figure)
        for name in declared.networks
    ]


def _line(study: Study, condition: str, curve: Curve, lookup: Lookup) -> Line | None:
    sweep = study.conditions[condition].sweep
    if sweep is None:
        return None
    figures = [
        lookup.values(
            curve.network, Measured(condition=condition, figure=at_value(curve.figure, name))
        )
        for name in sweep.names.values()
    ]
    return (list(sweep.names), np.array(figures)) if all(figures) else None
