"""A leaderboard that is written to a folder: what the command `leaderboard` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfrobust.files.output_folders import output_folder, written_together
from tfrobust.leaderboard.gathering import gathered
from tfrobust.leaderboard.page import render_leaderboard
from tfrobust.leaderboard.reading import read_folders
from tfrobust.leaderboard.records import Leaderboard
from tfrobust.results.run_files import discard_partial

RECORD, PAGE = "leaderboard.json", "leaderboard.html"


def run(folders: Sequence[Path | str], out: Path | str, *, force: bool = False) -> Leaderboard:
    """Rank the classifiers of some runs, and write `leaderboard.json` and `leaderboard.html`.

    Args:
        folders: run folders, or folders that hold some; diagnoses and
            certifications among them are shown beside.
        out: the folder to write; it is claimed.
        force: overwrite what is in the folder.

    Returns:
        What was written.

    Raises:
        UsageError, StoreError: as `leaderboard`; the folder holds other things, or the disk
            refuses.

    Example:
        >>> run(["runs/plain", "runs/robust"], "runs/board").boards[0].entries[0].classifier
        'robust'
    """
    out = Path(out)
    material = read_folders([Path(folder) for folder in folders])
    boards = gathered(material)
    page = render_leaderboard(boards, material.runs)
    with output_folder(out, force=force):
        with written_together(out, (RECORD, PAGE)) as beside:
            (beside / RECORD).write_text(boards.to_json(), encoding="utf-8")
            (beside / PAGE).write_text(page, encoding="utf-8")
        discard_partial(out)
    return boards
