"""Where study files lie, and how one is read."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

import pydantic

from tfrobust.errors import UsageError, did_you_mean, one_line, printable
from tfrobust.files.reading import UnreadableError, first_mistake, read_toml
from tfrobust.study.schema.checks import check_names
from tfrobust.study.schema.study import Study

_LARGEST = 16 * 10**6  # bytes


def studies() -> dict[str, Path]:
    """Return the study files there are, by name: in `studies/` right here, then those of packages.

    A package ships studies by an entry point of the group `tfrobust.studies` that names the
    package: every `.toml` file in it is a study. The bundled ones come by this door too.

    Example:
        >>> "quantized-dropout" in studies()
        True
    """
    return {name: paths[0] for name, paths in _files().items()}


def find_study(name: str) -> tuple[Study, Path]:
    """Return a study by its name or its file, and the file.

    Raises:
        UsageError: there is none of this name, or two packages have one, or the file breaks the
            format.
    """
    if name.endswith(".toml"):
        return read_study(Path(name)), Path(name)
    known = _files()
    if name not in known:
        there = f"there are: {', '.join(known) or 'none'}"
        raise UsageError(f"no study {name!r}{did_you_mean(name, known)} ({there})")
    first, *others = known[name]
    if others:
        files = " and ".join(map(str, known[name]))
        raise UsageError(f"study {name!r}: there are several; give the file that is meant: {files}")
    return read_study(first), first


def results_folder(study_file: Path) -> Path:
    """Return where a study's finished cells are kept: `results/` beside the file.

    A study that comes with a package keeps them outside of it: in `studies/results` of the
    checkout that the package lies in, or, where it is installed, of the current folder.
    """
    folder = study_file.resolve().parent
    if folder not in [package.resolve() for package, _ in study_packages() if package]:
        return study_file.parent / "results"
    checkouts = [root for root in folder.parents[:2] if (root / "pyproject.toml").is_file()]
    return (checkouts[0] if checkouts else Path()) / "studies" / "results"


def broken_studies() -> list[str]:
    """Read every installed study; return a line for each that cannot be used, and why."""
    lines = [
        f"{owner}: there is no such package" for folder, owner in study_packages() if not folder
    ]
    for name in studies():
        try:
            find_study(name)
        except UsageError as error:
            lines.append(str(error))
    return lines


def study_packages() -> list[tuple[Path | None, str]]:
    """Return the folder of every package that ships studies, `None` if there is no such package.

    With each, who brought it: the distribution with its version, and the entry point.
    """
    packages = []
    for point in sorted(metadata.entry_points(group="tfrobust.studies")):
        owner = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
        packages.append((_folder_of(point.value), f"{owner}, entry point {point.value}"))
    return packages


def _folder_of(package: str) -> Path | None:
    """Return a package's folder; only the packages around it are imported."""
    try:
        spec = importlib.util.find_spec(package)
    except (Exception, SystemExit):  # a third-party package may do anything
        return None
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def _files() -> dict[str, list[Path]]:
    """Return the files of each name; a study in `studies/` right here goes before a package's."""
    local = {path.stem: [path] for path in sorted(Path("studies").glob("*.toml"))}
    packaged: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(folder for folder, _ in study_packages() if folder):
        for path in sorted(folder.glob("*.toml")):
            packaged.setdefault(path.stem, []).append(path)
    return local | {name: paths for name, paths in packaged.items() if name not in local}


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
