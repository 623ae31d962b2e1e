"""What a classifier's file or folder holds, so that two machines can compare it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfrobust.store.cards import card_file


def content_digest(path: Path) -> str:
    """Return the SHA-256 of a classifier's file, or of all files of its folder; empty: none."""
    content = hashlib.sha256()
    files = files_of(path)
    for name, file in files.items():
        content.update(f"{name}\n{file.stat().st_size}\n".encode())
        with file.open("rb") as opened:
            for chunk in iter(lambda: opened.read(1 << 20), b""):
                content.update(chunk)
    return content.hexdigest() if files else ""


def files_of(path: Path) -> dict[str, Path]:
    """Return name in the archive → file; a `.keras` file comes with the card beside it."""
    if path.is_dir():
        inside = sorted(file for file in path.rglob("*") if file.is_file())
        return {file.relative_to(path).as_posix(): file for file in inside}
    return {file.name: file for file in (path, card_file(path)) if file.is_file()}
