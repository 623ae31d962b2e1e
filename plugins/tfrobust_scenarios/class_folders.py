"""Class folders on a disk: which pictures are of which class and split, and what is left out."""

from __future__ import annotations

import dataclasses
import functools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from tfrobust.errors import DataError, printable
from tfrobust_scenarios.pictures import SUFFIXES

LAYOUT = "expected ROOT/CLASS/*.png, or ROOT/train/CLASS/*.png and ROOT/test/CLASS/*.png"
_SPLITS = {  # the folders that hold a split, by its name
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
_LIKE_SPLITS = {*sum(_SPLITS.values(), ()), "training", "testing", "dev", "eval"}
_EVERY = 5  # every fifth image of a class is a test image where no folders make splits
_SHOWN = 3  # names that a line gives as examples
_KINDS = {
    stat.S_ISFIFO: "a FIFO",
    stat.S_ISSOCK: "a socket",
    stat.S_ISDIR: "a folder",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}


@dataclasses.dataclass(frozen=True)
class ClassFolders:
    """The contents of a folder of class folders.

    Attributes:
        classes: their names, sorted; the labels count them.
        files: split → `(path, label)` of its pictures, by class and name.
        notes: what was left out, and which class a split lacks: a line each.
    """

    classes: tuple[str, ...]
    files: dict[str, tuple[tuple[str, int], ...]]
    notes: tuple[str, ...]


def class_folders(root: Path) -> ClassFolders:
    """Look through a folder.

    Names that begin with a dot, which editors and systems make, are neither classes nor images.

    Raises:
        DataError: no class folders, a class without an image or without a training image, a
            picture that is no file.
    """
    if not root.is_dir():
        raise DataError(f"{printable(str(root))}: no such folder; {LAYOUT}")
    try:
        return _found(root, _stamps(root))
    except OSError as error:
        where = printable(os.fsdecode(error.filename or root))
        raise DataError(f"{where}: cannot be read ({error.strerror})") from error


def _stamps(root: Path) -> tuple[int, ...]:
    """Return what changes when a name is added or taken away in a folder that matters."""
    inner = _folders(root)
    deeper = [folder for folder in inner if folder.name.lower() in _LIKE_SPLITS]
    every = [root, *inner, *(folder for split in deeper for folder in _folders(split))]
    return tuple(folder.stat().st_mtime_ns for folder in every)


@functools.lru_cache(maxsize=8)
def _found(root: Path, _stamp: tuple[int, ...]) -> ClassFolders:
    left_out: list[str] = []
    homes = _homes(root, left_out)
    pictures = {split: _classes(root, home, left_out) for split, home in homes.items()}
    names = sorted({name for by_class in pictures.values() for name in by_class})
    if not names:
        raise DataError(f"{printable(str(root))}: no class folders in it; {LAYOUT}")
    parts = pictures if len(homes) > 1 else _every_fifth(pictures[""])
    _check_classes(parts, names)
    if len(names) < 2:
        raise DataError(
            f"{printable(str(root))}: one class folder only, {printable(names[0])!r}; a classifier "
            f"needs two or more; {LAYOUT}"
        )
    files = {
        split: tuple((path, k) for k, name in enumerate(names) for path in classes.get(name, ()))
        for split, classes in parts.items()
    }
    notes = (*_lacking(parts, names), *_said(left_out))
    return ClassFolders(tuple(map(printable, names)), files, notes)


def _homes(root: Path, left_out: list[str]) -> dict[str, Path]:
    """Return the folders of the splits; only the root if there are none."""
    holding = {folder.name: folder for folder in _folders(root) if _holds_folders_only(folder)}
    homes = {
        split: holding[name]
        for split, names in _SPLITS.items()
        for name in names
        if name in holding
    }
    if {"train", "test"} <= set(homes):
        known = {home.name for home in homes.values()}
        left_out += [name for name in sorted(os.listdir(root)) if name not in known]
        return homes
    like = sorted(name for name in holding if name.lower() in _LIKE_SPLITS)
    if like:
        raise DataError(
            f"{printable(str(root))}: holds splits by the names of {', '.join(like)}; name the "
            "folder to train on `train` and the one to test on `test`"
        )
    return {"": root}


def _holds_folders_only(folder: Path) -> bool:
    return bool(_folders(folder)) and not any(_looks_like_one(name) for name in os.listdir(folder))


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder that may be classes, sorted.

    The folder's entries give their types, so a million pictures need no `stat` each.
    """
    with os.scandir(folder) as entries:
        folders = (entry for entry in entries if entry.is_dir())
        names = [entry.name for entry in folders if not entry.name.startswith(".")]
    return [folder / name for name in sorted(names)]


def _classes(root: Path, home: Path, left_out: list[str]) -> dict[str, list[str]]:
    """Return the pictures of every class folder of a split; note what else there is."""
    classes = _folders(home)
    others = set(os.listdir(home)) - {folder.name for folder in classes}
    left_out += [os.path.relpath(home / name, root) for name in sorted(others)]
    return {folder.name: _pictures(root, folder, left_out) for folder in classes}


def _every_fifth(classes: dict[str, list[str]]) -> dict[str, dict[str, list[str]]]:
    """Part the pictures of each class into training and test images."""
    parts: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name, paths in classes.items():
        for place, path in enumerate(paths, 1):
            parts["test" if place % _EVERY == 0 else "train"].setdefault(name, []).append(path)
    return parts


def _check_classes(parts: dict[str, dict[str, list[str]]], names: Sequence[str]) -> None:
    """Refuse a class that nothing can be learned of: its images would be of no class, or none.

    Raises:
        DataError: names it.
    """
    for name in names:
        having = [split for split, classes in parts.items() if classes.get(name)]
        if not having:
            raise DataError(
                f"{printable(name)}: the class folder holds no images "
                f"({', '.join(sorted(SUFFIXES))}); put some into it, or remove it"
            )
        if "train" not in having:
            raise DataError(
                f"{printable(name)}: a class that split {having[0]!r} has and 'train' has not; put "
                f"images of it into train, or remove it from {having[0]}"
            )


def _lacking(parts: dict[str, dict[str, list[str]]], names: Sequence[str]) -> Iterator[str]:
    """Say of which classes a split has no image: figures on it say nothing of them."""
    for split, classes in parts.items():
        lacking = [name for name in names if not classes.get(name)]
        if lacking and len(lacking) < len(names):
            yield f"images: split {split!r} has no image of {_few('class', 'classes', lacking)}"


def _said(left_out: Sequence[str]) -> Iterator[str]:
    """Say what was left out."""
    if left_out:
        dropped = _few("name", "names", left_out)
        yield f"images: left out {dropped}: no class folder and no image"


def _few(one: str, several: str, names: Sequence[str]) -> str:
    """Return `2 classes: cat, dog`, with some of the names as examples where there are many."""
    shown = ", ".join(map(printable, names[:_SHOWN]))
    more = ", …" if len(names) > _SHOWN else ""
    return f"{len(names)} {one if len(names) == 1 else several} ({shown}{more})"


def _pictures(root: Path, folder: Path, left_out: list[str]) -> list[str]:
    """Return the paths of a class's pictures, sorted.

    Raises:
        DataError: one is no file; or there is none, and there are folders.
    """
    pictures, folders = [], []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        relative = os.path.relpath(entry.path, root)
        if not _looks_like_one(entry.name):
            left_out.append(relative)
            folders += [relative] if entry.is_dir() and not entry.name.startswith(".") else []
        elif entry.is_file():
            pictures.append(entry.path)
        else:
            raise DataError(
                f"{printable(relative)}: expected a picture; received: {_kind(entry.path)}; "
                "remove or rename it"
            )
    if folders and not pictures:
        raise DataError(
            f"{printable(folder.name)}: the class folder holds folders, such as "
            f"{printable(folders[0])}, and no images; move the images up into it; {LAYOUT}"
        )
    return pictures


def _looks_like_one(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _kind(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"a link that leads nowhere ({error.strerror})"
    return next((kind for is_one, kind in _KINDS.items() if is_one(mode)), "something else")
