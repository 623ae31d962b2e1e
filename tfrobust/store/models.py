"""The models of the store, written and read."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
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
from tfrobust.classifiers.remote.address import is_address
from tfrobust.classifiers.remote.classifier import connect
from tfrobust.classifiers.saved_model.classifier import (
    MoreSignatures,
    SavedModelClassifier,
    write_saved_model,
)
from tfrobust.errors import ClassifierError, PluginError, UsageError
from tfrobust.files.atomic import atomic_folder
from tfrobust.registry import entries
from tfrobust.store.cards import (
    CHANGING,
    Card,
    averaged,
    card_of,
    check_card,
    imitated,
    read_card,
    write_card,
    write_labels,
)
from tfrobust.store.layout import check_place, locate


def export(
    classifier: Classifier,
    folder: Path | str,
    *,
    card: Card | None = None,
    note: Path | None = None,
    more: MoreSignatures = lambda _: {},
    finish: Callable[[Path], None] = lambda _: None,
) -> Path:
    """Write a SavedModel that needs nothing but TensorFlow.

    Args:
        classifier: defended or plain.
        folder: the version folder to make, e.g. `saved_models/d1/1`; must not exist.
        card: recorded in `assets.extra/tfrobust.json`.
        note: see `tfrobust.files.atomic.atomic_folder`.
        more: makes further signatures; see `write_saved_model`.
        finish: is called with the temporary folder when all else is written.

    Returns:
        The folder.

    Raises:
        StoreError: it exists already, or the disk refuses; nothing is left behind then.

    Example:
        >>> export(classifier, "served/lenet/1")
    """
    folder = Path(folder)
    check_place(folder)
    with atomic_folder(folder, new=True, note=note) as temporary:
        write_saved_model(classifier, temporary, more)
        card = card or card_of(classifier)
        write_card(temporary, card)
        write_labels(temporary, card.class_names)
        finish(temporary)
    return folder


def load(
    classifier: str | Path, *, root: Path | None = None, options: LoadOptions = AS_IT_IS
) -> Classifier:
    """Load a classifier by its name in the store, as a file or folder, or by its address.

    Args:
        classifier: `d1` (the newest version), `saved_models/d1/1`, `model.keras`; a member of
            one, `fused:foreground`; an endpoint, `http://localhost:8501/v1/models/d1` or
            `grpc://localhost:8500/d1`.
        root: the store; by default `$TFROBUST_MODELS` or `saved_models`.
        options: what the user says about the file.

    Returns:
        The classifier, tried on random images.

    Raises:
        UsageError: there is nothing of that name; the nearest is given.
        ClassifierError: it is damaged, returns probabilities or holds NaN; an endpoint does not
            answer.
        BudgetSpentError: an endpoint may not be asked any more.

    Example:
        >>> load("d1").class_names
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
    """
    if is_address(str(classifier)):
        endpoint = connect(str(classifier), options)
        return endpoint.replace(**check_sound(endpoint, str(classifier)))
    name, member = split_member(str(classifier))
    path = locate(name, root)
    loaded: Classifier = (
        _from_keras_file(path, options) if path.is_file() else _from_saved_model(path, options)
    )
    if member is not None:
        loaded = member_of(loaded, member, name).replace(source=f"{path}:{member}")
    return loaded.replace(**check_sound(loaded, str(classifier)))


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
    given = [str(classifier) for classifier in classifiers]
    loaded = [load(classifier, options=options) for classifier in given]
    return dict(zip(shown_names(given), loaded, strict=True))


def _from_keras_file(path: Path, options: LoadOptions) -> KerasClassifier:
    if path.suffix not in KERAS_SUFFIXES:
        raise UsageError(f"{path}: expected a .keras or .h5 file, or a SavedModel folder")
    model, card = _keras_model(path, options.custom_objects), read_card(path)
    traits: dict[str, Any] = {"source": str(path), "loaded_with": options}
    if card is not None:
        traits |= {name: getattr(card, name) for name in ("class_names", "defenses", "megabytes")}
        traits["imitates"] = imitated(card)
    try:
        model = scaled(sized(plain(model), options.image_shape), options.pixel_range)
        if options.to_logits:
            model, notice = converted(model)
            traits |= {"notices": (notice,) if notice else ()}
        classifier = KerasClassifier(model, **traits)
        if card is not None:
            check_card(card, classifier, path)
    except ClassifierError as error:
        raise type(error)(f"{path}: {error}") from error
    return classifier


def _keras_model(path: Path, modules: Sequence[str]) -> Any:
    """Load a file; Keras knows a plugin's own layers only once that plugin is imported."""
    try:
        return load_keras_file(path, modules)
    except ClassifierError:  # Keras reports an unknown layer by many errors
        before = set(sys.modules)
        for entry in (*entries("models"), *entries("defenses")):
            with contextlib.suppress(PluginError):  # a broken plugin is not this file's fault
                entry.load()
        if before == set(sys.modules):
            raise  # no plugin was new
    return load_keras_file(path, modules)


def _from_saved_model(path: Path, options: LoadOptions) -> SavedModelClassifier:
    card = read_card(path)
    if card is None:
        return SavedModelClassifier(path, options=options, source=str(path), loaded_with=options)
    traits = {name: getattr(card, name) for name in CHANGING} | {"passes": averaged(card)}
    classifier = SavedModelClassifier(
        path,
        members=card.members,
        options=options,
        source=str(path),
        loaded_with=options,
        **traits,
    )
    check_card(card, classifier, path)
    return classifier.replace(class_names=card.class_names, imitates=imitated(card))
