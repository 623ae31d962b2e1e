"""`tfrobust leaderboard`: ranks classifiers of several runs that were evaluated alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfrobust_cli.console import start_tensorflow, stdout
from tfrobust_cli.options.declared import Force, Json, Out

if TYPE_CHECKING:
    from tfrobust.leaderboard import Leaderboard

_Folders = Annotated[
    list[Path], typer.Argument(help="Run folders of evaluate and diagnose, or folders of these.")
]


def leaderboard(folder: _Folders, out: Out, force: Force = False, as_json: Json = False) -> None:
    """Rank the classifiers of several runs, and write a page of what survives.

    A board for each data set, norm and budget. Runs of one board must have the same images and
    attacks; what differs is named.

    Example: [bold]tfrobust leaderboard runs/plain runs/robust --out runs/board[/]
    """
    start_tensorflow()
    from tfrobust import leaderboard as boards
    from tfrobust.files.output_folders import check_output
    from tfrobust.leaderboard.page import headline
    from tfrobust.leaderboard.running import PAGE

    check_output(out, force=force)
    found = boards.run(folder, out, force=force)
    if as_json:
        print(found.to_json(), end="")
        return
    _print(found)
    console = stdout()
    console.print(headline(found), markup=False, highlight=False)
    console.print(f"{out / PAGE}", markup=False, highlight=False)


def _print(found: Leaderboard) -> None:
    from rich.table import Table
    from rich.text import Text

    from tfrobust.leaderboard.page import ball_of, interval, kinds_of, percent

    for board in found.boards:
        kinds = kinds_of(board)
        table = Table(title=Text(f"{board.scenario} ({board.split}), {ball_of(board)}"))
        for column in (
            "#",
            "classifier",
            "clean",
            *kinds,
            "certified",
            "robust",
            "95 %",
            "diagnosis",
        ):
            table.add_column(Text(column))
        for entry in board.entries:
            worst = [percent(entry.worst[k]) if k in entry.worst else "–" for k in kinds]
            said = str(entry.diagnosed.verdict) if entry.diagnosed else "–"
            proven = percent(entry.certified) if entry.certified else "–"
            robust = percent(entry.robust), interval(entry.robust)
            figures = percent(entry.clean), *worst, proven, *robust
            table.add_row(str(board.rank(entry)), Text(entry.classifier), *figures, said)
        stdout().print(table)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("leaderboard")(leaderboard)
