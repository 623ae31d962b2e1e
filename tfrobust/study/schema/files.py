"""Where study files lie, and how one is read."""

from __future__ import annotations

from pathlib import Path

import pydantic

import tfrobust
from tfrobust.errors import UsageError, did_you_mean, one_line, printable
from tfrobust.files.reading import UnreadableError, first_mistake, read_toml
from tfrobust.study.schema.checks import check_names
from tfrobust.study.schema.study import Study

_LARGEST = 16 * 10**6  # bytes


def studies() -> dict[str, Path]:
    """Return the study files there are, by name: in `studies/` right here, then the bundled ones.

    Example:
        >>> "quantized-dropout" in studies()
        True
    """
    package = Path(tfrobust.__file__).parent
    folders = (Path("studies"), package.parent / "studies", package / "study" / "studies")
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find_study(name: str) -> tuple[Study, Path]:
    """Return a study by its name or its file, and the file.

    Raises:
        UsageError: there is none of this name, or the file breaks the format.
    """
    path = Path(name) if name.endswith(".toml") else studies().get(name)
    if path is None:
        known = studies()
        there = f"there are: {', '.join(known) or 'none'}"
        raise UsageError(f"no study {name!r}{did_you_mean(name, known)} ({there})")
    return read_study(path), path


def results_folder(study_file: Path) -> Path:
    """Return `results/` beside a study; under the current folder if it lies in the package."""
    package = Path(tfrobust.__file__).resolve().parent
    inside = study_file.resolve().is_relative_to(package)
    return (Path("studies") if inside else study_file.parent) / "results"


def read_study(path: Path) -> Study:
    """Read a study file.

    Raises:
        UsageError: it cannot be read, or says something a study file may not say.
    """
    try:
        study = Study.model_validate({"name": path.stem, **read_toml(path, _LARGEST)})
        check_names(study)
    except pydantic.ValidationError as error:
        raise UsageError(f"{path}: {first_mistake(error)}") from error
    except (OSError, UnreadableError) as error:
        raise UsageError(f"{path}: cannot be read ({one_line(error)})") from error
    except ValueError as error:  # of `check_names`
        raise UsageError(f"{path}: {printable(str(error), 300)}") from error
    return study
