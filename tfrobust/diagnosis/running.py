"""A diagnosis that is written to a folder: what the command `diagnose` does."""

from __future__ import annotations

from pathlib import Path

from tfrobust.classifier import Classifier
from tfrobust.diagnosis.diagnosing import diagnose
from tfrobust.diagnosis.settings import DiagnosisSettings
from tfrobust.files.output_folders import output_folder, written_together
from tfrobust.report.diagnosis import PAGE, render_diagnosis
from tfrobust.results.diagnosis import DIAGNOSIS, Diagnosis
from tfrobust.results.run_files import discard_partial
from tfrobust.scenario import Scenario


def run(
    classifier: Classifier,
    scenario: Scenario,
    settings: DiagnosisSettings,
    out: Path | str,
    *,
    name: str = "classifier",
    force: bool = False,
) -> Diagnosis:
    """Diagnose, and write `diagnosis.json` and `diagnosis.html`.

    Args:
        classifier: that is attacked.
        scenario: where its images come from.
        settings: see `DiagnosisSettings`.
        out: the folder; it is claimed.
        name: of the classifier, in the record.
        force: overwrite what is in the folder.

    Returns:
        What was written.

    Raises:
        StoreError: the folder holds other things, is claimed by another process, or the disk
            refuses.
        UsageError, ClassifierError, DataError: as `diagnose`.

    Example:
        >>> run(load("d1"), scenario, DiagnosisSettings(eps=0.1), "runs/d1-diagnosis").verdict
    """
    out = Path(out)
    with output_folder(out, force=force):
        diagnosis = diagnose(classifier, scenario, settings, name=name)
        with written_together(out, (DIAGNOSIS, PAGE)) as beside:
            (beside / DIAGNOSIS).write_text(diagnosis.to_json(), encoding="utf-8")
            (beside / PAGE).write_text(render_diagnosis(diagnosis), encoding="utf-8")
        discard_partial(out)
    return diagnosis
