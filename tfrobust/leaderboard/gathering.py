"""Gathers entries into boards, and refuses to rank what was not evaluated alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tfrobust.errors import UsageError
from tfrobust.leaderboard.entries import Conditions, entries_of
from tfrobust.leaderboard.reading import Material, read_folders
from tfrobust.leaderboard.records import Board, Entry, Leaderboard

_THREATS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}  # as RobustBench spells them
_Placed = list[tuple[Conditions, Entry]]


def leaderboard(folders: Sequence[Path | str]) -> Leaderboard:
    """Return the boards of some runs: one for each scenario, norm and budget.

    Args:
        folders: run folders, or folders that hold some.

    Raises:
        UsageError: there is no run; a classifier stands twice on a board; or runs of one board were
            not evaluated alike.
        StoreError: a file is damaged, or of another version.

    Example:
        >>> leaderboard(["runs/plain", "runs/robust"]).boards[0].entries[0].classifier
        'robust'
    """
    return gathered(read_folders([Path(folder) for folder in folders]))


def robustbench(folder: Path | str) -> str:
    """Return the `model_info` of every classifier and budget of a run, as JSON.

    Args:
        folder: of the run, or one that holds several.

    Raises:
        UsageError, StoreError: as `leaderboard`.
    """
    records = [
        {"threat_model": _THREATS[board.norm], **entry.model_info}
        for board in leaderboard([folder]).boards
        for entry in board.entries
    ]
    return json.dumps(records, indent=1) + "\n"


def gathered(material: Material) -> Leaderboard:
    """Return the boards of runs that were read; see `leaderboard`."""
    placed: dict[object, _Placed] = {}
    for run in material.runs:
        for conditions, entry in entries_of(run, material):
            placed.setdefault(conditions.board, []).append((conditions, entry))
    if not placed:
        raise UsageError(
            "leaderboard: no attack of these runs has a budget, and there is nothing to rank by; "
            "evaluate with --eps"
        )
    return Leaderboard(boards=[_board(entries) for entries in placed.values()])


def _board(placed: _Placed) -> Board:
    (first, leader), *others = placed
    for conditions, entry in others:
        differs = _difference(first, conditions)
        if differs:
            raise UsageError(
                f"leaderboard: {leader.run} and {entry.run} were not evaluated alike on "
                f"{first.scenario} ({first.split}), {first.norm} {first.eps:g}: {differs}; "
                "evaluate both by the same command, or leave one out"
            )
    entries = [entry for _, entry in placed]
    _check_names(entries)
    _check_knowing(entries)
    return Board(
        scenario=first.scenario,
        split=first.split,
        images=first.images,
        seed=first.seed,
        norm=first.norm,
        eps=first.eps,
        attacks=list(first.attacks),
        entries=sorted(entries, key=_standing, reverse=True),
    )


def _difference(one: Conditions, other: Conditions) -> str:
    """Return what makes a comparison unfair, in a few words; nothing: the empty text."""
    for what in ("images", "seed"):
        values = getattr(one, what), getattr(other, what)
        if values[0] != values[1]:
            return f"{what} {values[0]} and {values[1]}"
    if one.labels != other.labels:
        return "their images have other labels"
    for title in [*one.attacks, *other.attacks]:
        if title not in one.attacks or title not in other.attacks:
            return f"only one of them was under {title}"
        if one.attacks[title] != other.attacks[title]:
            return f"{title} had other options ({one.attacks[title]} and {other.attacks[title]})"
    return ""


def _check_names(entries: Sequence[Entry]) -> None:
    runs: dict[str, str] = {}
    for entry in entries:
        if entry.classifier in runs:
            raise UsageError(
                f"leaderboard: {entry.classifier} stands in {runs[entry.classifier]} and in "
                f"{entry.run}; leave one of them out"
            )
        runs[entry.classifier] = entry.run


def _check_knowing(entries: Sequence[Entry]) -> None:
    spared = [entry for entry in entries if entry.knows is False]
    if spared and any(entry.knows for entry in entries):
        raise UsageError(
            f"leaderboard: {spared[0].classifier} of {spared[0].run} was not attacked by those who "
            "know its defences, and others were; evaluate it with --adaptive, or leave it out"
        )


def _standing(entry: Entry) -> tuple[bool, float, float]:
    return *entry.standing, entry.clean.accuracy
