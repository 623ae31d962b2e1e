"""What is served of a classifier: all of it, or only a defence that is put before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfrobust.classifier import AppliedDefense, Classifier, Separable
from tfrobust.classifiers.inference import in_batches, predict
from tfrobust.classifiers.saved_model.classifier import write_function
from tfrobust.errors import UsageError
from tfrobust.files.atomic import atomic_folder
from tfrobust.store.cards import Card, card_of, write_card
from tfrobust.store.layout import check_place
from tfrobust.types import Images, ImageShape, Logits


@dataclasses.dataclass(frozen=True)
class Servable:
    """A function of images that can be served by itself.

    Attributes:
        image_shape: of the images.
        output: the name of what is served.
        serve: images → what is served.
        logits: what is served, as an array → the logits of the whole classifier.
        classifier: the whole classifier.
        bare: the classifier without the defence; `None`: all of it is served.
        trackables: objects that a SavedModel must keep in addition to its variables.
    """

    image_shape: ImageShape
    output: str
    serve: Callable[[Images], Any]
    logits: Callable[[np.ndarray], Logits]
    classifier: Classifier
    bare: Classifier | None = None
    trackables: Sequence[Any] = ()

    @property
    def defenses(self) -> tuple[AppliedDefense, ...]:
        """The defence that is served, or the defences of the whole classifier."""
        return self.classifier.defenses[-1:] if self.bare else self.classifier.defenses

    def __call__(self, images: Images) -> np.ndarray:
        """Return what is served for all images, computed in batches."""
        return in_batches(self.serve, images)

    def write(self, folder: Path) -> None:
        """Write a SavedModel into an existing folder."""
        write_function(self.outputs, self.image_shape, folder, self.trackables)

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return what is served, by its name."""
        return {self.output: self.serve(images)}


def whole(classifier: Classifier) -> Servable:
    """Return all of a classifier, which serves its logits."""
    return Servable(
        image_shape=classifier.image_shape,
        output="logits",
        serve=classifier,
        logits=lambda served: served,
        classifier=classifier,
        trackables=classifier.trackables(),
    )


def separated(classifier: Classifier, defense: str) -> Servable:
    """Return the defence before a classifier, without the classifier.

    Args:
        classifier: as it was trained; see `stored_network`.
        defense: the defence's name.

    Raises:
        UsageError: it has no such defence, or none that can be separated.

    Example:
        >>> separated(stored_network("d1-b2"), "calibrater")(images).shape
        (360, 8, 8, 1)
    """
    layer: Classifier | None = classifier
    while layer is not None:
        last = [applied.name for applied in layer.defenses[-1:]]
        if isinstance(layer, Separable) and last == [defense]:
            return _before(layer)
        layer = layer.inner
    if any(applied.name == defense for applied in classifier.defenses):
        raise UsageError(
            f"only: {defense} is part of one SavedModel here and cannot be separated; export it "
            "where it was trained, with the classifier it was learned for in its place"
        )
    has = ", ".join(applied.name for applied in classifier.defenses) or "none"
    raise UsageError(
        f"only: expected a defence that stands before the classifier, as it was trained here; "
        f"received: {defense!r} of one with defences: {has}"
    )


def _before(classifier: Any) -> Servable:
    inner: Classifier = classifier.inner
    return Servable(
        image_shape=inner.image_shape,
        output=classifier.shown_as,
        serve=classifier.before,
        logits=lambda shown: predict(inner, shown),
        classifier=classifier,
        bare=inner,
    )


def export_servable(part: Servable, folder: Path | str) -> Path:
    """Write a part as a SavedModel, with a card that names its defence.

    Raises:
        StoreError: the folder exists already, or the disk refuses.
    """
    folder = Path(folder)
    check_place(folder, serves=part.output)
    with atomic_folder(folder, new=True) as temporary:
        part.write(temporary)
        write_servable_card(part, temporary)
    return folder


def write_servable_card(part: Servable, folder: Path) -> None:
    """Write a card into a folder that holds a part."""
    write_card(folder, servable_card(part))


def servable_card(part: Servable) -> Card:
    """Return the card of a part."""
    changes = {"defenses": part.defenses, "serves": part.output, "megabytes": None}
    return card_of(part.classifier).model_copy(update=changes)
