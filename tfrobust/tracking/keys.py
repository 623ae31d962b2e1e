"""Which runs of trackers follow a training, so that a resumed one goes on with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pydantic

from tfrobust.files.atomic import atomic_write
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.files.record_types import Text


class _Keys(pydantic.BaseModel):
    """The file: tracker → the key of its run."""

    model_config = pydantic.ConfigDict(extra="forbid")

    runs: dict[Text, Text]


def read_keys(path: Path) -> dict[str, str]:
    """Return tracker → the key of its run; nothing where the file is missing or damaged."""
    try:
        return read_record(_Keys, path).runs
    except (OSError, UnreadableError):
        return {}  # trackers begin a run, as they do without a file


def write_keys(path: Path, keys: Mapping[str, str]) -> None:
    """Write the keys of the runs.

    Raises:
        StoreError: the disk refuses.
    """
    text = _Keys(runs=dict(keys)).model_dump_json()
    atomic_write(path, lambda beside: beside.write_text(text, encoding="utf-8"))
