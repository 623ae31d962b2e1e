"""Finds and reads the folders that a leaderboard is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.results.certification import CERTIFICATES, Certification, read_certifications
from tfrobust.results.diagnosis import DIAGNOSIS, Diagnosis, read_diagnosis
from tfrobust.results.outcomes import Outcomes
from tfrobust.results.records import Results
from tfrobust.results.run_files import read_run

_DEEPEST = 3  # folders below the one that was named
_RECORDS = ("results.json", DIAGNOSIS, CERTIFICATES)


@dataclasses.dataclass(frozen=True)
class Run:
    """A run of `evaluate`, read.

    Attributes:
        folder: as it was named.
        results: of `results.json`.
        outcomes: of every image.
    """

    folder: Path
    results: Results
    outcomes: Outcomes


@dataclasses.dataclass(frozen=True)
class Material:
    """What a leaderboard is made of.

    Attributes:
        runs: what is ranked.
        diagnoses: of any classifiers.
        certifications: of any classifiers.
    """

    runs: Sequence[Run]
    diagnoses: Sequence[Diagnosis] = ()
    certifications: Sequence[Certification] = ()


def read_folders(folders: Sequence[Path]) -> Material:
    """Read all runs, diagnoses and certifications in some folders, and in the folders inside them.

    Args:
        folders: run folders, or folders that hold some.

    Raises:
        UsageError: there is no run in one of them, or a run is incomplete.
        StoreError: a file is damaged, or of another version.
    """
    runs, diagnoses, certifications = [], [], []
    for folder in folders:
        found = list(dict.fromkeys(_with_results(folder, _DEEPEST)))
        if not found:
            raise UsageError(
                f"{folder}: holds no results; expected run folders of `tfrobust evaluate`, "
                "`tfrobust diagnose` or `tfrobust certify`, or a folder with some inside"
            )
        for inside in found:
            if (inside / "results.json").exists():
                runs.append(_read(inside))
            if (inside / DIAGNOSIS).exists():
                diagnoses.append(read_diagnosis(inside))
            if (inside / CERTIFICATES).exists():
                certifications.extend(read_certifications(inside).certifications)
    if not runs:
        raise UsageError(
            f"{_listed(folders)}: holds no run of `tfrobust evaluate`, which is what is ranked"
        )
    return Material(runs, diagnoses, certifications)


def _with_results(folder: Path, deepest: int) -> Iterator[Path]:
    if not folder.is_dir():
        return
    if any((folder / name).exists() for name in _RECORDS):
        yield folder
    elif deepest:
        for inside in sorted(folder.iterdir()):
            if inside.is_dir() and not inside.name.startswith("."):
                yield from _with_results(inside, deepest - 1)


def _read(folder: Path) -> Run:
    results, outcomes = read_run(folder)
    if results.incomplete:
        raise UsageError(
            f"{folder}: is incomplete, and its figures are of other images than those of complete "
            "runs; finish it by the same command, or leave it out"
        )
    return Run(folder, results, outcomes)


def _listed(folders: Iterable[Path]) -> str:
    return ", ".join(map(str, folders))
