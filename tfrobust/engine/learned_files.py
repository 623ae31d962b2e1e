"""What an attack has learned as an `.npz`: its arrays, and what they were learned for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import agree, answers_of
from tfrobust.classifiers.inference import predict
from tfrobust.errors import UsageError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.reading import UnreadableError, parse_json
from tfrobust.files.record_types import Count, Place, Seed, Text
from tfrobust.options import record
from tfrobust.registry import name_of
from tfrobust.types import Images, Labels

Arrays = Mapping[str, np.ndarray]

_ORIGIN, _ANSWERS = "learned_for", "learned_on"  # arrays of the file, next to those learned
_APPLIED = ("file", "region")  # options that change nothing of what is learned
_SHOWN = 64  # training images that tell classifiers apart
_ALIKE = 1e-3  # logits from another device
_HASHED = 1024  # images at a time


class Origin(pydantic.BaseModel):
    """What something was learned for.

    Attributes:
        attack: name of the plugin.
        options: that it was learned with.
        seed: that decided everything random.
        images: how many it was learned from.
        classifier: the file or folder that the classifier was loaded from, or the empty string.
        gradients: what learning cost, in gradients of one image.
        queries: what learning cost, in forward passes of one image.
        first_gradients: what the first gradients were like; see
            `tfrobust.engine.counted.FirstGradients`.
        answers: the classifier's logits for fixed noise, float32 `(8, classes)`; none of a
            stochastic one, which gives others each time.
    """

    model_config = pydantic.ConfigDict(frozen=True, arbitrary_types_allowed=True)

    attack: Text
    options: dict[str, Any]
    seed: Seed
    images: Count
    classifier: Place
    gradients: Count = 0
    queries: Count = 0
    first_gradients: tuple[Count, Count, Count] = (0, 0, 0)
    answers: np.ndarray = pydantic.Field(exclude=True)

    @classmethod
    def of(cls, attack: Attack, classifier: Classifier, images: Images, seed: int) -> Origin:
        """Return what is about to be learned."""
        return cls(
            attack=name_of(attack),
            options=options_of(attack),
            seed=int(seed),
            images=len(images),
            classifier=classifier.source,
            answers=answers_of(classifier),
        )

    def is_of(self, classifier: Classifier) -> bool:
        """Tell whether it was learned on this classifier, as far as answers to noise show."""
        if classifier.stochastic or not len(self.answers):
            return bool(self.classifier) and self.classifier == classifier.source
        now = answers_of(classifier)
        if now.shape != self.answers.shape:
            return False
        near = agree(now, self.answers, _ALIKE)
        return bool(near.mean() >= 0.5)  # where a network rounds inside, an answer may jump

    def others_than(self, attack: Attack) -> dict[str, tuple[Any, Any]]:
        """Return the options that differ: name → value then, value now."""
        now = options_of(attack)
        return {
            name: (self.options.get(name), value)
            for name, value in now.items()
            if self.options.get(name) != value
        }


def options_of(attack: Attack) -> dict[str, Any]:
    """Return the options that may change what an attack learns."""
    return {name: value for name, value in record(attack).items() if name not in _APPLIED}


def write(path: Path, arrays: Arrays, origin: Origin) -> None:
    """Write what was learned, and for what.

    Raises:
        StoreError: the file cannot be written.
    """
    record_of_origin = {_ORIGIN: np.asarray(origin.model_dump_json()), _ANSWERS: origin.answers}
    write_arrays(path, {**arrays, **record_of_origin})


def read(path: Path, attack: Attack) -> tuple[dict[str, np.ndarray], Origin]:
    """Read what was learned, and for what.

    Raises:
        UsageError: it holds something else.
        StoreError: it cannot be read.
    """
    arrays, name = read_arrays(path), name_of(attack)
    try:
        answers = arrays.pop(_ANSWERS)
        origin = Origin(**parse_json(arrays.pop(_ORIGIN).item()), answers=answers)
        if answers.ndim != 2 or answers.dtype != np.float32:
            raise UnreadableError("the answers of the classifier are not float32 (images, classes)")
        arrays = {array_name: _numbers(array) for array_name, array in arrays.items()}
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{name}: file: expected what {name} has learned; received: {path}, which does not "
            "tell what it was learned for; name another file to learn that"
        ) from error
    if origin.attack != name:
        raise UsageError(
            f"{name}: file: expected what {name} has learned; received: {path}, which "
            f"{origin.attack} has; name another file to learn that"
        )
    return arrays, origin


def _numbers(array: np.ndarray) -> np.ndarray:
    """Return an array as attacks apply it; refuse what they never learn."""
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise UnreadableError("an array that is not of finite numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def name_in(
    folder: Path,
    origin: Origin,
    classifier: Classifier,
    images: Images,
    labels: Labels,
    *,
    called: str = "learned",
) -> Path:
    """Return where to keep what is learned or crafted; no two of them share a name.

    Args:
        folder: of the file.
        origin: the attack, its options and the seed.
        classifier: identified by its logits; a stochastic one by its file.
        images: float32 NumPy array `(n, height, width, channels)` to learn from.
        labels: int64 `(n,)`.
        called: how the file's name begins.
    """
    content = hashlib.sha256(origin.model_dump_json().encode())
    shown = [] if classifier.stochastic else [predict(classifier, images[:_SHOWN])]
    for array in (images, labels, origin.answers, *shown):
        for start in range(0, len(array), _HASHED):  # there may be more than fit into memory
            content.update(np.ascontiguousarray(array[start : start + _HASHED]).tobytes())
    content.update(repr(classifier.defenses).encode())
    return folder / f"{called}-{content.hexdigest()[:32]}.npz"


def spelt(value: Any) -> str:
    """Return a value as `-p` takes it."""
    return "none" if value is None else str(value)
