"""The files of a run: `results.json`, `outcomes.npz` and `adversarial.npz`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import StoreError, one_line
from tfrobust.files.arrays import read_array, write_arrays
from tfrobust.files.atomic import atomic_write, disk_errors
from tfrobust.files.leftovers import remove_folder
from tfrobust.files.output_folders import PARTIAL
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.results.records import Results
from tfrobust.types import Images

RUN = "run"  # the array of an `.npz` that tells which run it is of
ADVERSARIAL = "adversarial.npz"
RUN_FILES = ("results.json", "outcomes.npz", "report.html", ADVERSARIAL)  # those of any run


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What an evaluation returns.

    Attributes:
        results: the content of `results.json`.
        outcomes: the content of `outcomes.npz`.
        images: the clean images, float32 `(n, height, width, channels)`.
        adversarial: for each classifier, the images that each attack made, `(n, height, width,
            channels)`; empty lists unless the settings say `keep_images`.
    """

    results: Results
    outcomes: dict[str, np.ndarray]
    images: Images
    adversarial: list[list[Images]]


def identified(results: Results, outcomes: Mapping[str, np.ndarray]) -> Results:
    """Return results that know the run they are of: a hash of all figures but the seconds.

    Example:
        >>> identified(evaluated.results, evaluated.outcomes).run
        '3b0f…'
    """
    content = hashlib.sha256()
    for name, array in sorted(outcomes.items()):
        content.update(f"{name} {array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    figures = _without_seconds(results.model_copy(update={"run": None}))
    content.update(json.dumps(figures, sort_keys=True).encode())
    return results.model_copy(update={"run": content.hexdigest()[:32]})


def _without_seconds(results: Results) -> Any:
    def untimed(record: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in record.items() if name != "seconds"}

    return json.loads(results.to_json(), object_hook=untimed)


def write_results(folder: Path, results: Results, outcomes: Mapping[str, np.ndarray]) -> None:
    """Write `results.json` and `outcomes.npz` into an existing folder, with one identity.

    Raises:
        StoreError: the disk refuses.
    """
    results = results if results.run else identified(results, outcomes)
    write_arrays(folder / "outcomes.npz", {**outcomes, RUN: np.asarray(results.run)})
    atomic_write(
        folder / "results.json", lambda path: path.write_text(results.to_json(), encoding="utf-8")
    )


def check_one_run(folder: Path, results: Results, outcomes: Mapping[str, np.ndarray]) -> None:
    """Refuse files of different runs in one folder, as copying or an interruption leaves them.

    Args:
        folder: of the run.
        results: its `results.json`.
        outcomes: its `outcomes.npz`. An `adversarial.npz` is looked at as well.

    Raises:
        StoreError: naming the two files.
    """
    adversarial = folder / ADVERSARIAL
    crafted = read_array(adversarial, RUN) if adversarial.exists() else None
    for name, run in {"outcomes.npz": outcomes.get(RUN), ADVERSARIAL: crafted}.items():
        known = "" if run is None else str(run)
        if known != (results.run or "") and (known or name != ADVERSARIAL):
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


def discard_partial(folder: Path) -> None:
    """Remove what an unfinished run keeps in its folder: the run is finished.

    Raises:
        StoreError: the disk refuses.
    """
    with disk_errors(folder / PARTIAL):
        remove_folder(folder / PARTIAL)
