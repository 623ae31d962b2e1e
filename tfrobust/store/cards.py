"""Cards: the record of a stored model, beside its SavedModel or `.keras` file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic

from tfrobust.classifier import CARRIED, AppliedDefense, Classifier
from tfrobust.classifiers.keras.files import KERAS_SUFFIXES
from tfrobust.environment.versions import environment
from tfrobust.errors import ClassifierError, StoreError, one_line
from tfrobust.files.reading import UnreadableError, read_record
from tfrobust.files.record_types import Count, Positive, Seed, Shape, Share, Text
from tfrobust.preparation import Preparation
from tfrobust.registry import entries

CARD = Path("assets.extra") / "tfrobust.json"
LABELS = CARD.with_name("labels.txt")
_MOST_PASSES = 10**6


class Imitation(pydantic.BaseModel):
    """What a surrogate imitates, and how well.

    `of` is an address or a name. `queries` have left for an endpoint; of a local classifier it is
    the number of images it was asked about. `agreement` is the share of the `held_out` images that
    both put into one class, after each training; `images` is how many the last one learned from.
    """

    of: Text
    answers: Literal["scores", "labels"]
    queries: Count
    images: Count
    rounds: Count
    held_out: Count
    agreement: tuple[Share, ...]


class Card(pydantic.BaseModel):
    """The record of a stored model.

    `None` stands for what is not known, such as the accuracy of a network that a defence was put
    around later. `serves` names the output: `logits`, or what a defence alone shows the classifier
    behind it. `members` are classifiers inside; their logits are outputs under their names.
    `preparation` is how pictures became the images of the training. `imitates` is of a surrogate.
    """

    image_shape: Shape
    class_names: tuple[Text, ...]
    serves: Text = "logits"
    members: tuple[Text, ...] = ()
    scenario: Text | None = None
    preparation: Preparation | None = None
    model: dict[str, Any] | None = None
    defenses: tuple[AppliedDefense, ...] = ()
    stochastic: bool = False
    passes: int = pydantic.Field(1, ge=1, le=_MOST_PASSES)
    batch_dependent: bool = False
    differentiable: bool = True
    training: dict[str, Any] | None = None
    seed: Seed | None = None
    clean_accuracy: Share | None = None
    megabytes: Positive | None = None
    versions: dict[Text, Text] = {}
    imitates: Imitation | None = None

    @pydantic.field_validator("model")
    @classmethod
    def _can_be_built(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        model = given or {}
        typed = isinstance(model.get("name", ""), str) and isinstance(model.get("params", {}), dict)
        if not typed or ("name" in model) != ("params" in model):
            raise ValueError("expected a name and params")
        return given

    @pydantic.model_validator(mode="after")
    def _averages_what_differs(self) -> Card:
        if self.passes > 1 and not self.stochastic:
            raise ValueError("passes: expected 1 for what is not stochastic")
        return self


RECORDED = tuple(name for name in CARRIED if name in Card.model_fields)  # traits that a card has
CHANGING = tuple(name for name in RECORDED if name not in ("image_shape", "class_names"))


def card_of(classifier: Classifier, **more: Any) -> Card:
    """Return a card with what the classifier itself knows."""
    traits = {name: getattr(classifier, name) for name in RECORDED}
    return Card(members=tuple(classifier.members), **traits, **more)


def imitated(card: Card) -> str:
    """Return what a surrogate imitates; the empty string of any other model."""
    return "" if card.imitates is None else card.imitates.of


def renewed_card(
    classifier: Classifier, *, scenario: str | None = None, class_names: Sequence[str] = ()
) -> Card:
    """Return the card of the place a classifier was loaded from, updated to what it is now.

    Args:
        classifier: one that came without a card gets one of its own.
        scenario: for a card that names none.
        class_names: of that scenario, for classes without names.
    """
    known = read_card(Path(classifier.source)) if classifier.source else None
    if known is None:
        known = card_of(classifier, versions=environment())
    card = renewed(known, classifier)
    if scenario is None or card.scenario is not None:
        return card
    nameless = card.class_names == tuple(map(str, range(len(card.class_names))))
    names = tuple(class_names) if nameless and class_names else card.class_names
    return card.model_copy(update={"scenario": scenario, "class_names": names})


def renewed(card: Card, classifier: Classifier) -> Card:
    """Return a card updated to the defences that a classifier has now.

    Its clean accuracy is dropped where another set of defences may change an answer; detectors
    change none.
    """
    changed: dict[str, Any] = {name: getattr(classifier, name) for name in CHANGING}
    changed["members"] = tuple(classifier.members)
    if len(card.class_names) != classifier.num_classes:  # it lies inside one of other classes
        changed["class_names"] = classifier.class_names
    if _answering(card.defenses) != _answering(classifier.defenses):
        changed["clean_accuracy"] = None
    return card.model_copy(update=changed)


def _answering(defenses: Iterable[AppliedDefense]) -> list[AppliedDefense]:
    """Return the defences that can change an answer: all but the detectors."""
    detectors = {entry.name for entry in entries("detectors")}
    return [defense for defense in defenses if defense.name not in detectors]


def card_file(stored: Path) -> Path:
    """Return where the card of a SavedModel folder lies, or that of a Keras file: beside it."""
    if stored.suffix not in KERAS_SUFFIXES or stored.is_dir():
        return stored / CARD
    kind = "" if stored.suffix == ".keras" else stored.suffix  # no other file's card
    return stored.with_suffix(f"{kind}.tfrobust.json")


def write_card(stored: Path, card: Card) -> None:
    """Write the card of a SavedModel folder or a `.keras` file."""
    path = card_file(stored)
    path.parent.mkdir(exist_ok=True)
    path.write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def write_labels(folder: Path, names: Sequence[str]) -> None:
    """Write the names of the classes beside a SavedModel's card, one a line."""
    (folder / LABELS).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def read_card(stored: Path) -> Card | None:
    """Return the card of a SavedModel folder or a `.keras` file; `None` if it has none.

    Raises:
        StoreError: the card is damaged, or holds what no card can.
    """
    path = card_file(stored)
    if not path.exists():
        return None
    try:
        return read_record(Card, path)
    except (OSError, UnreadableError) as error:
        raise StoreError(
            f"{path}: the card cannot be read ({one_line(error)}); export the classifier again, or "
            "delete the card"
        ) from error


def check_card(card: Card, classifier: Classifier, stored: Path) -> None:
    """Refuse a card that contradicts the model beside it, as far as that can be checked.

    Raises:
        ClassifierError: names what the card records, and what the model has.
    """
    claims: dict[str, tuple[Any, Any]] = {
        "image_shape": (card.image_shape, classifier.image_shape),
        "classes": (len(card.class_names), classifier.num_classes),
    }
    if card.stochastic and card.passes > 1:
        claims["stochastic"] = (True, _draws(classifier))
    for name, (recorded, actual) in claims.items():
        if recorded != actual:
            raise ClassifierError(
                f"{card_file(stored)}: {name}: expected {actual}, as the model beside it has; "
                f"received: {recorded}; export the classifier again, or delete the card"
            )


def averaged(card: Card) -> int:
    """Return how many draws one call of a stored classifier averages, bounded by its defences.

    The more draws a call averages, the fewer calls an attack on a random classifier averages, so
    that a card that exaggerates would weaken attacks. The bound is the number of draws of the
    recorded defences (their option `samples`), which results show; without such a defence, 1.

    Example:
        >>> averaged(Card(image_shape=(8, 8, 1), class_names=("a", "b"), stochastic=True, passes=9))
        1
    """
    drawn = 1
    for defense in card.defenses:
        samples = defense.params.get("samples")
        drawn *= samples if isinstance(samples, int) and samples > 0 else 1
    return min(card.passes, drawn)


def _draws(classifier: Classifier) -> bool:
    """Tell whether three answers to the same images differ at all."""
    images = np.random.default_rng(0).uniform(size=(8, *classifier.image_shape))
    answers = [np.asarray(classifier(images.astype(np.float32))) for _ in range(3)]
    return not all(np.array_equal(answer, answers[0], equal_nan=True) for answer in answers)
