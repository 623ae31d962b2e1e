"""A starter project: an experiment that runs as it is, an attack of one's own, a CI workflow."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.files.atomic import atomic_folder

_FILES = {  # where a file goes → what it is called here
    "experiment.toml": "experiment.toml",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
    ".github/workflows/robustness.yml": "workflow.yml",
    "src/my_attacks/__init__.py": "package.py.txt",
    "src/my_attacks/spread.py": "spread.py.txt",
    "tests/test_spread.py": "test_spread.py.txt",
}


def write_starter(folder: Path) -> list[str]:
    """Write a starter project, whole or not at all.

    Args:
        folder: it does not exist yet, or is empty.

    Returns:
        The files, relative to the folder.

    Raises:
        UsageError: there is something in the folder, or a file of that name.
        StoreError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not an empty folder; name a new one")
    source = files("tfrobust.experiment") / "starter_files"
    # An empty folder may be where the shell is: it is filled, and not replaced.
    present = folder.exists()
    written = folder / "starter" if present else folder
    with atomic_folder(written) as beside:
        for place, name in _FILES.items():
            target = beside / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text((source / name).read_text(encoding="utf-8"), encoding="utf-8")
    if present:
        for path in written.iterdir():
            path.rename(folder / path.name)
        written.rmdir()
    return list(_FILES)
