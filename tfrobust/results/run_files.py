"""The files of a run: `results.json`, the outcomes and the folder `adversarial`."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.leftovers import remove_folder
from tfrobust.files.output_folders import PARTIAL
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.results.adversarial import ADVERSARIAL, run_of
from tfrobust.results.outcome_checks import check_outcomes
from tfrobust.results.outcomes import EXAMPLES, OUTCOMES, Outcomes
from tfrobust.results.records import Results
from tfrobust.types import Images

RUN_FILES = ("results.json", OUTCOMES, EXAMPLES, "report.html", ADVERSARIAL)  # those of any run
OLDER_FILES = ("outcomes.npz", "adversarial.npz")  # those of a run by an older version


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What an evaluation returns.

    Attributes:
        results: the content of `results.json`.
        outcomes: the content of `outcomes.parquet` and `examples.npz`. Of an evaluation that keeps
            its work in a run folder, they can be read until the run is written.
        images: the clean images, float32 `(n, height, width, channels)`; none (`n` = 0) unless the
            settings say `keep_images`.
        adversarial: for each classifier, the images that each attack made, `(n, height, width,
            channels)`; empty lists unless the settings say `keep_images`.
    """

    results: Results
    outcomes: Outcomes
    images: Images
    adversarial: list[list[Images]]


def identified(results: Results, outcomes: Outcomes) -> Results:
    """Return results that know the run they are of: a hash of all figures but the seconds.

    Example:
        >>> identified(evaluated.results, evaluated.outcomes).run
        '3b0f…'
    """
    content = hashlib.sha256()
    columns = ((name, outcomes.column(name)) for name in sorted(outcomes.names))
    for name, array in itertools.chain(columns, sorted(outcomes.examples.items())):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
    figures = _without_seconds(results.model_copy(update={"run": None}))
    content.update(json.dumps(figures, sort_keys=True).encode())
    return results.model_copy(update={"run": content.hexdigest()[:32]})


def _without_seconds(results: Results) -> Any:
    """Return all figures but those of time and money, which differ after an interruption."""

    def untimed(record: dict[str, Any]) -> dict[str, Any]:
        return {n: value for n, value in record.items() if n not in ("seconds", "spending")}

    return json.loads(results.to_json(), object_hook=untimed)


def write_results(folder: Path, results: Results, outcomes: Outcomes) -> None:
    """Write `results.json` and the outcomes into an existing folder, with one identity.

    Raises:
        StoreError: the disk refuses.
    """
    results = results if results.run else identified(results, outcomes)
    outcomes.write(folder, str(results.run))
    atomic_write(
        folder / "results.json", lambda path: path.write_text(results.to_json(), encoding="utf-8")
    )


def check_one_run(folder: Path, results: Results, outcomes: Outcomes) -> None:
    """Refuse files of different runs in one folder, as copying or an interruption leaves them.

    Args:
        folder: of the run.
        results: its `results.json`.
        outcomes: its outcomes. A folder `adversarial` is looked at as well.

    Raises:
        StoreError: naming the two files.
    """
    runs = {OUTCOMES: outcomes.run}
    if (folder / ADVERSARIAL).exists():
        runs[ADVERSARIAL] = run_of(folder / ADVERSARIAL)
    for name, run in runs.items():
        if run != (results.run or ""):
            raise StoreError(
                f"{folder}: results.json and {name} are of different runs; run the same command "
                "again with --force, which writes both again"
            )


def read_results(folder: Path) -> Results:
    """Read `results.json` of a run folder.

    Raises:
        StoreError: it is missing, of another format, or holds what no run writes.
    """
    path = folder / "results.json"
    try:
        return read_record(Results, path)
    except OSError as error:
        raise StoreError(f"{path}: {one_line(error)}; run `tfrobust evaluate` first") from error
    except UnreadableError as error:
        raise StoreError(
            f"{path}: not a result of this version ({error}); evaluate again"
        ) from error


def read_run(folder: Path) -> tuple[Results, Outcomes]:
    """Return the results and outcomes of a run folder, checked against each other.

    Raises:
        StoreError: a file is missing, damaged or of another run.
    """
    results, outcomes = read_results(folder), Outcomes.read(folder)
    check_one_run(folder, results, outcomes)
    try:
        check_outcomes(results, outcomes)
    except UnreadableError as error:
        raise StoreError(f"{folder / OUTCOMES}: {error}; evaluate again") from error
    return results, outcomes


def discard_partial(folder: Path) -> None:
    """Remove what an unfinished run keeps in its folder: the run is finished.

    Raises:
        StoreError: the disk refuses.
    """
    with disk_errors(folder / PARTIAL):
        remove_folder(folder / PARTIAL)
