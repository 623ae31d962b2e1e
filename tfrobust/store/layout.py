"""Where models lie in the store: TensorFlow Serving's layout.

saved_models/NAME/VERSION/           a SavedModel, `serving_default`: images → logits, …
saved_models/NAME/VERSION/assets.extra/tfrobust.json   its card
saved_models/NAME.training/          what is needed to train further
saved_models/NAME.training/model.tfrobust.json   the card of model.keras beside it
saved_models/NAME.unfinished/        checkpoints of an interrupted training

TensorFlow Serving is pointed at `NAME`, where only versions lie. Older stores have `training` and
`unfinished` in there. They are read, and moved when the next training of the name begins.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator
from pathlib import Path

from tfrobust.classifiers.remote.address import is_address
from tfrobust.errors import ClassifierError, StoreError, UsageError, did_you_mean
from tfrobust.files.names import check_name, version_number

_NAMED = 10  # classifiers listed in a message
_FINISHED, _UNFINISHED = "training", "unfinished"
_ROOT: contextvars.ContextVar[Path | None] = contextvars.ContextVar("store_root", default=None)


def store_root() -> Path:
    """Return the folder of the store: `$TFROBUST_MODELS`, or `saved_models` right here."""
    return _ROOT.get() or Path(os.environ.get("TFROBUST_MODELS", "saved_models"))


def home_of(name: str, root: Path | None = None) -> Path:
    """Return the folder of a name in the store.

    Raises:
        UsageError: it is no plain folder name.
    """
    check_name(name)
    return (root or store_root()) / name


def training_folder(home: Path) -> Path:
    """Return the folder of what is kept of the last training of a name; an older store's too."""
    return _where_it_lies(home, _FINISHED)


def unfinished_folder(home: Path) -> Path:
    """Return the folder of an interrupted training of a name; an older store's too."""
    return _where_it_lies(home, _UNFINISHED)


def _where_it_lies(home: Path, kind: str) -> Path:
    now, before = home.parent / f"{home.name}.{kind}", home / kind
    return before if before.is_dir() and not now.exists() else now


def check_trainable_name(home: Path) -> None:
    """Refuse a name whose folder would be that of another one's training, or the reverse.

    An older store may hold a classifier where this training would be kept.

    Raises:
        UsageError: the name ends as trainings do.
        StoreError: a classifier lies where the training would be kept.
    """
    _check_ending(home)
    for kind in (_FINISHED, _UNFINISHED):
        other = home.parent / f"{home.name}.{kind}"
        if versions(other):
            raise StoreError(
                f"{other}: a classifier lies where trainings of {home.name} are kept; rename that "
                "folder, or choose another --name"
            )


def _check_ending(home: Path) -> None:
    if home.suffix in (f".{_FINISHED}", f".{_UNFINISHED}"):
        raise UsageError(
            f"name: expected one without {home.suffix} at its end, where trainings are kept; "
            f"received: {home.name!r}"
        )


def move_trainings(home: Path) -> None:
    """Move what an older store has of trainings among the versions to where it lies now.

    Each folder is renamed, and so is here or there, whenever this is killed. Where one is there
    already, nothing is moved.

    Raises:
        OSError: the disk refuses.
    """
    for kind in (_FINISHED, _UNFINISHED):
        now, before = home.parent / f"{home.name}.{kind}", home / kind
        if before.is_dir() and not now.exists():
            before.rename(now)


def moved(path: Path) -> Path:
    """Return where a file lies that an older store had among the versions.

    Example:
        >>> moved(Path("saved_models/d1/training/model.keras"))
        PosixPath('saved_models/d1.training/model.keras')
    """
    folder = path.parent
    if path.exists() or folder.name != _FINISHED:
        return path
    return training_folder(folder.parent) / path.name


@contextlib.contextmanager
def rooted(root: Path) -> Iterator[None]:
    """Resolve names, also those in a defence's options, in another store."""
    token = _ROOT.set(root)
    try:
        yield
    finally:
        _ROOT.reset(token)


def check_place(folder: Path, *, serves: str = "logits", file: str = "saved_model.pb") -> None:
    """Refuse a version folder that exists, or lies beside versions of another kind.

    Args:
        folder: to be written.
        serves: the output that it will serve.
        file: a file that it will hold.

    Raises:
        StoreError: says which.
        UsageError: it would lie where trainings of another name are kept.
    """
    _check_ending(folder.parent)
    if folder.exists():
        raise StoreError(f"{folder}: exists already and is never overwritten; choose a new version")
    from tfrobust.store.cards import read_card  # imports TensorFlow

    for number in versions(folder.parent):
        other = folder.parent / str(number)
        card = read_card(other)
        if not (other / file).exists() or (card is not None and card.serves != serves):
            raise StoreError(
                f"{folder}: {other} is no version of the same kind; choose a folder of its own"
            )


def versions(folder: Path) -> list[int]:
    """Return the version numbers in `saved_models/NAME`, ascending."""
    if not folder.is_dir():
        return []
    numbers = (version_number(path.name) for path in folder.iterdir())
    return sorted(number for number in numbers if number is not None)


def next_version(folder: Path) -> Path:
    """Return the folder of the version after the newest."""
    return folder / str(max(versions(folder), default=0) + 1)


def stored(root: Path | None = None) -> list[str]:
    """Return the names of the classifiers in the store."""
    root = root or store_root()
    return sorted(p.name for p in root.iterdir() if versions(p)) if root.is_dir() else []


def locate(classifier: str, root: Path | None = None) -> Path:
    """Return the file or version folder that a classifier's name means; see `load`.

    Raises:
        UsageError: there is nothing of that name; the nearest is given.
        ClassifierError: the folder holds no SavedModel.
    """
    root = root or store_root()
    if is_address(classifier):
        raise UsageError(f"{classifier}: an endpoint has no files; name a stored classifier")
    for path in (root / classifier, moved(Path(classifier))):
        if path.is_file() or (path / "saved_model.pb").exists():
            return path
        if numbers := versions(path):
            return path / str(numbers[-1])
    if Path(classifier).is_dir():
        raise ClassifierError(f"{classifier}: the folder holds no saved_model.pb")
    known = stored(root)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    raise UsageError(
        f"no classifier {classifier!r} in {root}{did_you_mean(classifier, known)} (there are: "
        f"{', '.join(known[:_NAMED]) or 'none'}{more}; a SavedModel folder or .keras file will do "
        "too)"
    )
