"""The tables of the file that keeps answers, and what tells it from other databases."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tfrobust.errors import StoreError

_FORMAT = 1
_APPLICATION = 0x74667271  # "tfrq"; files before it have 0
_TABLES = {
    "spent": "queries INTEGER NOT NULL",
    "models": "number INTEGER PRIMARY KEY, name TEXT NOT NULL, probe BLOB NOT NULL",
    "answers": "model INTEGER NOT NULL, image BLOB NOT NULL, logits BLOB NOT NULL, "
    "PRIMARY KEY (model, image)",
}


def check_ours(file: sqlite3.Connection, path: Path | None) -> None:
    """Refuse a database of something else; nothing of it is changed.

    Raises:
        StoreError: says what it is.
    """
    (application,) = file.execute("PRAGMA application_id").fetchone()
    (form,) = file.execute("PRAGMA user_version").fetchone()
    listed = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = {name for (name,) in listed}
    if application not in (0, _APPLICATION) or tables - set(_TABLES):
        raise StoreError(f"{path}: is a database of something else; choose another --out")
    if form not in (0, _FORMAT):
        raise StoreError(f"{path}: holds answers of another version; remove it")


def make_tables(file: sqlite3.Connection) -> None:
    """Make the tables that are not there, within a transaction."""
    for name, columns in _TABLES.items():
        rows = " WITHOUT ROWID" if name == "answers" else ""
        file.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}){rows}")
    file.execute(f"PRAGMA user_version={_FORMAT}")
    file.execute(f"PRAGMA application_id={_APPLICATION}")
    if file.execute("SELECT count(*) FROM spent").fetchone() == (0,):
        file.execute("INSERT INTO spent VALUES (0)")
