"""What was given: a model with any head, and images in any range, as the core takes them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.forms import check_structure, plain, scaled, sized
from tfrobust.classifiers.logits import converted
from tfrobust.errors import DataError, UsageError
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.options import option_names
from tfrobust.registry import create, find
from tfrobust.scenario import Scenario
from tfrobust.types import Images, ImageShape, KerasModel, Labels

PixelRange = tuple[float, float]
UNIT: PixelRange = (0.0, 1.0)
_SPLIT = "test"


def classifier_of(model: KerasModel, image_shape: ImageShape, pixel_range: PixelRange) -> Any:
    """Return a classifier of a model; a softmax or a sigmoid at its end is left out.

    Args:
        model: of Keras 3 or `tf_keras`; it stays as it is. Its weights are shared or copied,
            whichever its form asks for.
        image_shape: of the images.
        pixel_range: the least and the largest pixel that it was made for.

    Raises:
        ClassifierError: the model has another form, or nothing shows its logits.
    """
    made = scaled(sized(plain(model), image_shape), pixel_range)
    made, notice = converted(made)
    return KerasClassifier(made, notices=(notice,) if notice else ())


def images_and_labels(
    x: Any, y: Any = None, *, pixel_range: PixelRange = UNIT, limit: int | None = None
) -> tuple[Images, Labels]:
    """Return images in [0, 1] and class numbers.

    Args:
        x: `(n, height, width, channels)` or `(n, height, width)`; or a `tf.data.Dataset`, batched
            or not, of pairs of images and labels.
        y: class numbers, `(n,)` or `(n, 1)`, or one-hot rows `(n, classes)`; none with a dataset.
        pixel_range: the least and the largest pixel of `x`.
        limit: only the first so many.

    Raises:
        UsageError: labels are missing, or given twice.
        DataError: pixels lie outside the range, or the two do not fit each other.
    """
    if isinstance(x, tf.data.Dataset):
        if y is not None:
            raise UsageError("y: expected none: a dataset has its own labels")
        x, y = _read(x, limit)
    elif y is None:
        raise UsageError("y: expected the labels of x; received: None")
    images, labels = np.asarray(x)[:limit], _numbers(np.asarray(y)[:limit])
    images = images[..., None] if images.ndim == 3 else images
    if images.ndim != 4 or len(images) != len(labels) or not len(labels):
        raise DataError(
            "x, y: expected images (n, height, width, channels) and as many labels, one or more; "
            f"received: {images.shape} and {labels.shape}"
        )
    least, most = pixel_range
    if images.min() < least or images.max() > most:
        raise DataError(
            f"x: expected pixels from {least:g} to {most:g}; received: {images.min():g} to "
            f"{images.max():g}; say which range it is: pixel_range=(0, 255)"
        )
    return ((images.astype(np.float32) - least) / (most - least)).astype(np.float32), labels


def _read(dataset: tf.data.Dataset, limit: int | None) -> tuple[np.ndarray, np.ndarray]:
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) < 2:
        raise UsageError("x: expected a dataset of pairs of images and labels, as model.fit takes")
    if spec[1].shape.rank is None or spec[0].shape.rank is None:
        raise UsageError("x: expected a dataset whose images and labels have a known rank")
    # (batch, height, width) and (height, width, channels) look alike; a batch is open or as long
    # as its labels.
    is_batched = spec[0].shape.rank == 4 or (
        spec[0].shape.rank == 3 and spec[1].shape.rank > 0 and spec[0].shape[0] == spec[1].shape[0]
    )
    dataset = dataset.unbatch() if is_batched else dataset
    rows = list(dataset.take(-1 if limit is None else limit).as_numpy_iterator())
    if not rows:
        raise DataError("x: expected a dataset with images; received: an empty one")
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def _numbers(labels: np.ndarray) -> Labels:
    """Return class numbers of numbers or of one-hot rows."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1).astype(np.int64)
    return labels.reshape(len(labels)).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Given(Scenario):
    """Images in memory as a scenario of one split.

    Attributes:
        images: float32 `(n, height, width, channels)` in [0, 1].
        labels: int64 `(n,)`.
        names: of the classes.
    """

    images: Images
    labels: Labels
    names: tuple[str, ...]

    @property
    def image_shape(self) -> ImageShape:
        """That of the arrays."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names that were given."""
        return self.names

    @property
    def splits(self) -> tuple[str, ...]:
        """One alone."""
        return (_SPLIT,)

    @property
    def options(self) -> dict[str, Any]:
        """None: arrays are no options."""
        return {}

    def load(self, split: str) -> tf.data.Dataset:
        """Return the images and labels; see `Scenario.load`."""
        return tf.data.Dataset.from_tensor_slices({"image": self.images, "label": self.labels})


def attacks_of(attack: Any, eps: Any, options: dict[str, Any]) -> list[Attack]:
    """Return the attacks that were asked for.

    Args:
        attack: a name, an attack, or several of them.
        eps: a budget or several, or budgets by norm (`{"linf": [0.1]}`); `None`: each attack's own.
        options: of the attacks that are given by name, each for those that have it.

    Raises:
        UsageError: an unknown name or option, or a value out of range.
    """
    several = [attack] if isinstance(attack, str | Attack) else list(attack)
    names = [one for one in several if isinstance(one, str)]
    fitting = {name: _own(name, options) for name in names}
    unused = [option for option in options if not any(option in own for own in fitting.values())]
    if unused and names:
        create("attacks", names[0], **{option: options[option] for option in unused})  # refused
    if unused:
        raise UsageError(
            f"{', '.join(unused)}: expected no option: the attacks have theirs already"
        )
    built = [
        create("attacks", one, **fitting[one]) if isinstance(one, str) else one for one in several
    ]
    if not built:
        raise UsageError("attack: expected one or more; received: none")
    if eps is None:
        return built
    return at_budgets(built, [eps] if isinstance(eps, int | float) else eps)


def _own(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that an attack has."""
    known = option_names(find("attacks", name).load())
    return {option: value for option, value in options.items() if option in known}


def shape_of(model: KerasModel, images: Images) -> ImageShape:
    """Return the shape of the images, refusing labels and images that the model cannot take."""
    height, width, channels = images.shape[1:]
    check_structure(sized(plain(model), (height, width, channels)))
    return height, width, channels
