"""The model store: TensorFlow Serving's layout, read and written.

saved_models/NAME/VERSION/           a SavedModel, `serving_default`: images → logits, …
saved_models/NAME/VERSION/assets.extra/tfrobust.json   its card
saved_models/NAME/training/          what is needed to train on
saved_models/NAME/training/model.tfrobust.json   the card of model.keras beside it
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfrobust.classifier import Classifier
from tfrobust.classifiers.checks import check_sound
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.files import KERAS_SUFFIXES
from tfrobust.classifiers.keras.forms import plain, scaled, sized
from tfrobust.classifiers.keras.models import load_keras_file
from tfrobust.classifiers.loading import AS_IT_IS, LoadOptions
from tfrobust.classifiers.logits import converted
from tfrobust.classifiers.members import member_of, shown_names, split_member
from tfrobust.classifiers.saved_model.classifier import SavedModelClassifier, write_saved_model
from tfrobust.errors import (
    ClassifierError,
    PluginError,
    StoreError,
    UsageError,
    did_you_mean,
)
from tfrobust.files.atomic import atomic_folder
from tfrobust.files.names import check_name, version_number
from tfrobust.registry import entries
from tfrobust.store.cards import (  # noqa: F401 (CARD: public)
    CARD,
    Card,
    averaged,
    card_of,
    check_card,
    read_card,
    write_card,
)

_NAMED = 10  # classifiers that a message lists
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


@contextlib.contextmanager
def rooted(root: Path) -> Iterator[None]:
    """Let names mean what lies in another store: those in a defence's options too."""
    token = _ROOT.set(root)
    try:
        yield
    finally:
        _ROOT.reset(token)


def export(
    classifier: Classifier,
    folder: Path | str,
    *,
    card: Card | None = None,
    note: Path | None = None,
) -> Path:
    """Write a SavedModel that needs nothing but TensorFlow.

    Args:
        classifier: defended or plain.
        folder: the version folder to make, e.g. `saved_models/d1/1`; must not exist.
        card: recorded in `assets.extra/tfrobust.json`.
        note: see `tfrobust.files.atomic.atomic_folder`.

    Returns:
        The folder.

    Raises:
        StoreError: it exists already, or the disk refuses; nothing is left behind then.

    Example:
        >>> export(classifier, "served/lenet/1")
    """
    folder = Path(folder)
    check_place(folder)
    with atomic_folder(folder, new=True, note=note) as beside:
        write_saved_model(classifier, beside)
        write_card(beside, card or card_of(classifier))
    return folder


def check_place(folder: Path, *, serves: str = "logits", file: str = "saved_model.pb") -> None:
    """Refuse a version folder that exists, or stands beside versions of another kind.

    Args:
        folder: to be made.
        serves: what it will serve.
        file: that it will hold.

    Raises:
        StoreError: says which.
    """
    if folder.exists():
        raise StoreError(f"{folder}: exists already and is never overwritten; choose a new version")
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


def load(
    classifier: str | Path, *, root: Path | None = None, options: LoadOptions = AS_IT_IS
) -> Classifier:
    """Load a classifier by its name in the store, as a SavedModel folder or a `.keras` file.

    Args:
        classifier: `d1` (the newest version), `saved_models/d1/1`, `model.keras`; a member of
            one, `fused:foreground`.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        options: what the user says about the file.

    Returns:
        The classifier, tried on random images.

    Raises:
        UsageError: there is nothing of that name; the nearest is given.
        ClassifierError: it is damaged, returns probabilities or holds NaN.

    Example:
        >>> load("d1").class_names
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    called, member = split_member(str(classifier))
    path = locate(called, root)
    if path.is_file():
        made: Classifier = _from_keras_file(path, options)
    else:
        made = _from_saved_model(path, options)
    made.source, made.loaded_with = str(path), options
    if member is not None:
        made = member_of(made, member, called)
        made.source = f"{path}:{member}"
    check_sound(made, str(classifier))
    return made


def load_all(
    classifiers: Iterable[str], *, options: LoadOptions = AS_IT_IS
) -> dict[str, Classifier]:
    """Load several classifiers, each under the name that results show.

    Args:
        classifiers: as for `load`; `saved_models/d1/2` is shown as `d1/2`.
        options: as for `load`.

    Raises:
        UsageError: two of them would be shown under one name.
    """
    given = [str(each) for each in classifiers]
    names = shown_names(given)
    loaded = [load(each, options=options) for each in given]
    return dict(zip(names, loaded, strict=True))


def locate(classifier: str, root: Path | None = None) -> Path:
    """Return the file or version folder that a classifier's name means; see `load`.

    Raises:
        UsageError: there is nothing of that name; the nearest is given.
        ClassifierError: the folder holds no SavedModel.
    """
    root = root or store_root()
    if classifier.startswith(("http://", "https://")):
        raise UsageError(f"{classifier}: remote classifiers cannot be attacked in this version")
    for path in (root / classifier, Path(classifier)):
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


def _from_keras_file(path: Path, options: LoadOptions) -> KerasClassifier:
    if path.suffix not in KERAS_SUFFIXES:
        raise UsageError(f"{path}: expected a .keras or .h5 file, or a SavedModel folder")
    model, card, said = _keras_model(path, options.custom_objects), read_card(path), ""
    known: dict[str, Any] = {}
    if card is not None:
        known = {name: getattr(card, name) for name in ("class_names", "defenses", "megabytes")}
    try:
        model = scaled(sized(plain(model), options.image_shape), options.pixel_range)
        if options.to_logits:
            model, said = converted(model)
        made = KerasClassifier(model, **known)
        if card is not None:
            check_card(card, made, path)
    except ClassifierError as error:
        raise type(error)(f"{path}: {error}") from error
    made.notices = (said,) if said else ()
    return made


def _keras_model(path: Path, modules: Sequence[str]) -> Any:
    """Load a file; Keras knows a model plugin's own layers only once that plugin is imported."""
    try:
        return load_keras_file(path, modules)
    except ClassifierError:  # in Keras's words, it may be any error
        before = set(sys.modules)
        for entry in entries("models"):
            with contextlib.suppress(PluginError):  # a broken plugin is not this file's fault
                entry.load()
        if before == set(sys.modules):
            raise  # nothing is known that was not before
    return load_keras_file(path, modules)


def _from_saved_model(path: Path, options: LoadOptions) -> SavedModelClassifier:
    card = read_card(path)
    if card is None:
        return SavedModelClassifier(path, options=options)
    made = SavedModelClassifier(
        path,
        options=options,
        defenses=card.defenses,
        stochastic=card.stochastic,
        passes=averaged(card),
        differentiable=card.differentiable,
        megabytes=card.megabytes,
        members=card.members,
    )
    check_card(card, made, path)
    made.class_names = card.class_names
    return made
