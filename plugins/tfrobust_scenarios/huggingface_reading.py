"""What a dataset of Hugging Face holds: its splits, its columns, its classes.

Files of data are read, and nothing of a dataset is run: of the readers of `datasets` only those of
Parquet, Arrow, WebDataset and folders of images are let through. One of the others unpickles.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.errors import DataError, UsageError, did_you_mean, one_line, printable
from tfrobust.types import Labels
from tfrobust_scenarios.huggingface_classes import classes_of, labels_in

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read by the import

import datasets

_READERS = ("arrow", "imagefolder", "parquet", "webdataset")
_FOLDERS = "imagefolder"  # its rows name files; those of the others must hold the pictures
_VALIDATION = ("validation", "valid", "val", "dev")
_SHOWN = 20  # names in a message


@dataclasses.dataclass(frozen=True)
class Asked:
    """Which dataset, and which parts of it; `None`: recognised.

    Attributes:
        dataset: its name on the Hub, or a local folder.
        config: its configuration.
        revision: a branch, tag or commit of it.
        image: column of the pictures.
        label: column of the classes.
        train: its name of the training split.
        test: of the test split.
        validation: of the validation split.
        cache: folder for downloads; `None`: the library's own.
    """

    dataset: str
    config: str | None
    revision: str | None
    image: str | None
    label: str | None
    train: str | None
    test: str | None
    validation: str | None
    cache: Path | None


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a split.

    Attributes:
        table: of the dataset; pictures are not decoded.
        positions: int64 `(n,)`, of the rows in the table.
        labels: int64 `(n,)`.
    """

    table: Any
    positions: np.ndarray
    labels: Labels


@dataclasses.dataclass(frozen=True)
class Opened:
    """A dataset that lies ready.

    Attributes:
        splits: `train`, `test` and, where there is one, `validation`.
        image: column of the pictures.
        class_names: in the order of the labels.
        notes: what was chosen, and a user should know.
        by_path: whether rows may name files instead of holding the pictures.
    """

    splits: Mapping[str, Rows]
    image: str
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    by_path: bool

    def file_of(self, split: str, row: int) -> bytes | str:
        """Return the content of a row's picture file, or its path.

        Raises:
            DataError: there is no picture in that row.
        """
        rows = self.splits[split]
        cell = rows.table[int(rows.positions[row])][self.image] or {}
        file = cell.get("bytes") or (cell.get("path") if self.by_path else None)
        if not file:
            raise DataError(
                f"huggingface: row {rows.positions[row]} of {split}: holds no picture; remove the "
                "row, or choose another split or column"
            )
        return bytes(file) if not isinstance(file, str) else file


def open_dataset(asked: Asked) -> Opened:
    """Open a dataset; one that is not here yet is downloaded.

    Raises:
        DataError: it cannot be had or read, or has no images or classes.
        UsageError: a split, column or configuration that it does not have.
    """
    builder = _builder(asked)
    tables = _prepared(builder, asked)
    chosen, notes = _chosen_splits(asked, list(tables))
    features = tables[chosen["train"]].features
    image = _column(asked.image, "image", features, _images_in(features))
    label = _column(asked.label, "label", features, labels_in(features))
    tables = {
        split: tables[name]
        .select_columns([image, label])
        .cast_column(image, datasets.Image(decode=False))
        for split, name in chosen.items()
    }
    names, labels = classes_of(features[label], {s: t[label][:] for s, t in tables.items()})
    splits = {s: Rows(t, np.arange(len(t)), labels[s]) for s, t in tables.items()}
    if "test" not in splits:
        splits |= _held_out(splits["train"])
    return Opened(splits, image, names, tuple(notes), _reader(builder) == _FOLDERS)


def _builder(asked: Asked) -> Any:
    try:
        builder = datasets.load_dataset_builder(
            asked.dataset,
            asked.config,
            revision=asked.revision,
            cache_dir=str(asked.cache) if asked.cache else None,
        )
    except Exception as error:  # of half a dozen packages
        raise DataError(
            f"huggingface: {printable(asked.dataset)}: {one_line(error)}; give a name of the Hub, "
            "a local folder, or -p huggingface.config=NAME"
        ) from error
    if _reader(builder) not in _READERS:
        raise DataError(
            f"huggingface: {printable(asked.dataset)}: expected files of {', '.join(_READERS)}; "
            f"received: {printable(_reader(builder))}; store it as Parquet: `Dataset.to_parquet`"
        )
    return builder


def _reader(builder: Any) -> str:
    """Return which reader of `datasets` a dataset is read by; the module of any other."""
    module = type(builder).__module__
    package, _, name = module.rpartition(".")
    inside = package.removeprefix("datasets.packaged_modules.")
    return name if inside == name else module


def _prepared(builder: Any, asked: Asked) -> dict[str, Any]:
    try:
        builder.download_and_prepare()
        return dict(builder.as_dataset())
    except Exception as error:
        raise DataError(
            f"huggingface: {printable(asked.dataset)}: {one_line(error)}; check the network, the "
            "space on the disk and the files"
        ) from error


def _chosen_splits(asked: Asked, there: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return our split → the dataset's, and notes; without `test`, images are held out."""
    for option in ("train", "test", "validation"):
        name = getattr(asked, option)
        if name is not None and name not in there:
            raise UsageError(
                f"huggingface: {option}: expected one of {', '.join(there)}; received: {name!r}"
                f"{did_you_mean(name, there)}"
            )
    train = asked.train or ("train" if "train" in there else there[0] if len(there) == 1 else None)
    if train is None:
        raise UsageError(
            "huggingface: which split is to be trained on? -p huggingface.train="
            f"{'|'.join(there[:_SHOWN])}"
        )
    others = [name for name in there if name != train]
    _check_apart(train, asked)
    unclaimed = [name for name in others if name != asked.validation]
    held = next((name for name in _VALIDATION if name in unclaimed), None)
    test = asked.test or ("test" if "test" in others else held)
    chosen = {"train": train} | ({"test": test} if test else {})
    validation = asked.validation or (held if held != test else None)
    chosen |= {"validation": validation} if validation else {}
    notes = []
    if test is None:
        notes.append("huggingface: there is no test split: every fifth image of a class is in it")
    elif test == held and asked.test is None:
        notes.append(f"huggingface: there is no test split: {held} is taken for it")
    return chosen, notes


def _check_apart(train: str, asked: Asked) -> None:
    """Refuse a split that serves twice: images that were learned, or chosen by, measure nothing."""
    taken: list[str | None] = [train]
    for option, name in (("validation", asked.validation), ("test", asked.test)):
        if name is not None and name in taken:
            raise UsageError(
                f"huggingface: {option}: expected another split than those of training and "
                f"validation; received: {name!r}; leave it out, and images are held out"
            )
        taken.append(name)


def _column(given: str | None, what: str, features: Any, found: list[str]) -> str:
    """Return the column that was asked for, or the only one that can be meant."""
    there = list(features)
    if given is not None:
        if given not in there:
            raise UsageError(
                f"huggingface: {what}: expected one of {', '.join(there)}; received: {given!r}"
                f"{did_you_mean(given, there)}"
            )
        found = [given]
    if len(found) != 1:
        choices = "|".join(found or there)
        raise UsageError(
            f"huggingface: which column is the {what}? -p huggingface.{what}={choices}"
        )
    is_image = isinstance(features[found[0]], datasets.Image)
    if what == "label" and is_image:
        raise DataError(
            f"huggingface: {found[0]}: expected classes; received: pictures; choose another "
            "column: -p huggingface.label=NAME"
        )
    if what == "image" and not is_image:
        raise DataError(
            f"huggingface: {found[0]}: expected pictures; received: {features[found[0]]}; choose "
            "another column: -p huggingface.image=NAME"
        )
    return found[0]


def _images_in(features: Any) -> list[str]:
    return [name for name, kind in features.items() if isinstance(kind, datasets.Image)]


def _held_out(rows: Rows) -> dict[str, Rows]:
    """Return `train` and `test`: every fifth row of a class is a test row."""
    by_class = np.argsort(rows.labels, kind="stable")
    ordered = rows.labels[by_class]
    rank = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    test = np.zeros(len(ordered), bool)
    test[by_class] = rank % 5 == 4
    return {
        split: Rows(rows.table, rows.positions[where], rows.labels[where])
        for split, where in (("train", ~test), ("test", test))
    }
