"""The small files that keep the results of finished cells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from tfrobust.errors import StoreError, one_line
from tfrobust.files.atomic import atomic_write
from tfrobust.files.names import Name
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.files.record_types import Count, Finite, NotNegative, Place, Seed, Text
from tfrobust.study.cells.cell import Cell

PackedFlags = Annotated[str, pydantic.Field(max_length=200_000, pattern=r"^[A-Za-z0-9+/=]*$")]


class Result(pydantic.BaseModel):
    """The content of a cell's file.

    Attributes:
        study: the study's name.
        scale: the name of its scale.
        network: the name of its network.
        condition: the name of its condition.
        seed: decides everything random.
        key: a hash of everything that determined it; see `Cell.key`.
        figures: `view.figure` → value; shares are from 0 to 1.
        histograms: `clean` and `adversarial` → counts of the condition's bins.
        exhibits: `original`, and each view → images in thousandths; `label` → their classes;
            `regions` → the network's classes of the points of a lattice.
        seconds: how long the cell took, without its trainings.
        command: the command that made it.
        versions: of the packages it may depend on.
        images: how many were tested; `None` in cells of earlier versions, as are the next.
        outcomes: figure → what became of every image, packed; see `cells.outcomes`.
        commit: of the checkout that the code ran from; `None`: it was installed without one.
        dirty: whether files of that checkout had been changed since.
        revision: a hash of the code that decides the figures; see `cells.revision`.
        threads: that an operation was spread over.
        machine: the kind of machine: its processor, and its GPU if it has one.
    """

    format: Literal["tfrobust/study-cell"] = "tfrobust/study-cell"
    version: Literal[1] = 1
    study: Name
    scale: Name
    network: Name
    condition: Name
    seed: Seed
    key: Text
    figures: dict[Text, Finite]
    histograms: dict[Text, list[Count]] = {}
    exhibits: dict[Text, list[Any]] = {}
    seconds: NotNegative
    command: Place
    versions: dict[Text, Text]
    images: Count | None = None
    outcomes: dict[Text, PackedFlags] = {}
    commit: Text | None = None
    dirty: bool | None = None
    revision: Text | None = None
    threads: Count | None = None
    machine: Text | None = None

    @pydantic.field_validator("exhibits")
    @classmethod
    def _are_arrays(cls, given: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in given.items():
            kind = np.asarray(values).dtype.kind  # of a ragged list it raises
            if kind not in ("U" if name == "classes" else "iuf"):
                raise ValueError(f"{name}: expected numbers in rows of one length")
        return given


def read_cell(cell: Cell, results: Path) -> Result | None:
    """Return a finished cell's result; `None` if it is not finished, or its key has changed since.

    Args:
        cell: to read.
        results: the folder of results.

    Raises:
        StoreError: its file is damaged.
    """
    path = cell.file(results)
    if not path.exists():
        return None
    try:
        result = read_record(Result, path)
    except (OSError, UnreadableError) as error:
        raise StoreError(
            f"{path}: the cell cannot be read ({one_line(error)}); "
            "delete it, and it is computed again"
        ) from error
    return result if result.key == cell.key else None


def write_cell(result: Result, path: Path) -> None:
    """Keep a finished cell.

    Args:
        result: of the cell.
        path: see `Cell.file`.

    Raises:
        StoreError: the disk refuses.
    """
    text = result.model_dump_json(indent=1, exclude={"exhibits"}, exclude_none=True)
    if result.exhibits:  # ten thousands of numbers: on one line, and not on one each
        pixels = json.dumps(result.exhibits, separators=(",", ":"))
        text = text.removesuffix("\n}") + f',\n "exhibits": {pixels}\n}}'
    text += "\n"
    atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
