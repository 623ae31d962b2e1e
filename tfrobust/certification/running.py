"""A certification that is written to a folder: what the command `certify` does."""

from __future__ import annotations

from pathlib import Path

import keras

from tfrobust.certification.certifying import certify_settings
from tfrobust.certification.settings import CertificationSettings, Progress
from tfrobust.execution.executor import Executor
from tfrobust.files.arrays import write_arrays
from tfrobust.files.finished_work import FinishedWork
from tfrobust.files.output_folders import PARTIAL, output_folder, written_together
from tfrobust.report.certification import PAGE, render_certification
from tfrobust.results.certification import CERTIFICATES, RADII, Certifications
from tfrobust.results.run_files import discard_partial


def run(
    settings: CertificationSettings,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Certifications:
    """Certify, and write `certificates.json`, `radii.npz` and `report.html`, together.

    Args:
        settings: what is certified, and how.
        out: the folder; it is claimed. After an interruption it holds the certificates that there
            are, hidden, and the same call goes on from them.
        force: overwrite what is in the folder.
        progress: receives how far it is.
        executor: computes the certificates; `None`: this process.

    Returns:
        The content of `certificates.json`.

    Raises:
        StoreError: the folder holds other things, is claimed by another process, or the disk
            refuses.
        WorkerError: workers die; what was proven is kept, and the same call goes on from it.
        UsageError, ClassifierError, DataError, PluginError: as `certify`.

    Example:
        >>> run(settings, "runs/d1-certified").certifications[0].certificates[0].average_radius
        0.0412
    """
    out = Path(out)
    with output_folder(out, force=force):
        keras.utils.set_random_seed(settings.seed)
        finished = FinishedWork(out / PARTIAL)
        certified = certify_settings(
            settings, finished=finished, progress=progress, executor=executor
        )
        with written_together(out, (CERTIFICATES, RADII, PAGE)) as beside:
            (beside / CERTIFICATES).write_text(certified.results.to_json(), encoding="utf-8")
            write_arrays(beside / RADII, certified.radii)
            page = render_certification(certified.results, certified.radii)
            (beside / PAGE).write_text(page, encoding="utf-8")
        discard_partial(out)
    return certified.results
