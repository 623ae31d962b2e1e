"""What diagnoses of a cell's views find."""

from __future__ import annotations

from tfrobust.classifier import Classifier
from tfrobust.diagnosis.diagnosing import diagnose
from tfrobust.diagnosis.settings import DiagnosisSettings
from tfrobust.errors import UsageError
from tfrobust.results.findings import Verdict
from tfrobust.scenario import Scenario
from tfrobust.study.cells.cell import Cell
from tfrobust.study.schema.figures import DiagnosisFigures


def diagnosis_figures(
    cell: Cell, scenario: Scenario, judged: dict[str, Classifier]
) -> dict[str, float]:
    """Return what a diagnosis finds of each view, in the ball that the condition names.

    Args:
        cell: whose condition is `diagnosed`.
        scenario: the data it is tested on.
        judged: the views.
    """
    ball = cell.condition.diagnosed
    if ball is None:
        return {}
    settings = DiagnosisSettings(eps=ball.eps, norm=ball.norm, images=cell.images, seed=cell.seed)
    figures: dict[str, float] = {}
    for view, classifier in judged.items():
        try:
            diagnosis = diagnose(classifier, scenario, settings, name=view)
        except UsageError:  # not better than chance: there is nothing to diagnose
            continue
        verdicts = [finding.verdict for finding in diagnosis.findings]
        found = DiagnosisFigures(
            masked=verdicts.count(Verdict.MASKED),
            suspect=verdicts.count(Verdict.SUSPECT),
            lowest_accuracy=diagnosis.lowest.accuracy,
        )
        figures |= {f"{view}.{name}": float(value) for name, value in found.known.items()}
    return figures
