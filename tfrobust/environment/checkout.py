"""The commit that the code runs from, where it runs from a checkout."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import TypedDict

_SECONDS = 10  # git may wait for a lock


class Checkout(TypedDict):
    """Where the code comes from; `None` where it was installed without a checkout.

    Attributes:
        commit: its hash.
        dirty: whether files that git knows had been changed.
    """

    commit: str | None
    dirty: bool | None


@functools.lru_cache(maxsize=1)
def checkout() -> Checkout:
    """Return the commit of the checkout that tfrobust lies in, read once a process.

    Example:
        >>> checkout()
        {'commit': '1f0c…', 'dirty': False}
    """
    nowhere = Checkout(commit=None, dirty=None)
    root, git = Path(__file__).resolve().parents[2], shutil.which("git")
    if git is None or not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return nowhere
    commit = _answer(git, root, "rev-parse", "HEAD")
    changed = _answer(git, root, "status", "--porcelain", "--untracked-files=no")
    if commit is None or changed is None:
        return nowhere
    return Checkout(commit=commit, dirty=bool(changed))


def _answer(git: str, root: Path, *words: str) -> str | None:
    """Return what a command of git prints; `None` if it fails."""
    try:
        done = subprocess.run(  # noqa: S603 (fixed words, no shell)
            [git, "-C", str(root), "--no-optional-locks", *words],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
