"""What a block gives: a few numbers an image, and the arrays that keep them on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfrobust.engine.counted import NONE_SEEN, FirstGradients
from tfrobust.engine.recording import GRID, AskedQueries
from tfrobust.engine.run import Crafted
from tfrobust.results.attack_records import NORMS
from tfrobust.results.detectors import FittedOn
from tfrobust.types import Flags, Images, ImageShape, Labels, PerImage


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an attack took: numbers as in `Crafted`."""

    gradients: int = 0
    queries: int = 0
    seconds: float = 0.0
    first: FirstGradients = NONE_SEEN

    @classmethod
    def of(cls, crafted: Crafted, learning: Cost | None) -> Cost:
        """Return what the images of a block took, without what it took to learn the attack."""
        if learning is None:
            return cls(crafted.gradients, crafted.queries, crafted.seconds, crafted.first)
        gradients = crafted.gradients - learning.gradients
        return cls(gradients, crafted.queries - learning.queries, crafted.seconds)

    @property
    def most(self) -> tuple[int, int]:
        """Gradients, then queries: what orders costs."""
        return self.gradients, self.queries

    def __add__(self, other: Cost) -> Cost:
        """Return what both took."""
        first = zip(dataclasses.astuple(self.first), dataclasses.astuple(other.first), strict=True)
        return Cost(
            self.gradients + other.gradients,
            self.queries + other.queries,
            self.seconds + other.seconds,
            FirstGradients(*map(sum, first)),
        )

    def as_array(self) -> np.ndarray:
        """Return the numbers, float64 `(6,)`: whole ones are exact up to 2⁵³."""
        first = dataclasses.astuple(self.first)
        return np.array([self.gradients, self.queries, self.seconds, *first], np.float64)

    @classmethod
    def from_array(cls, numbers: np.ndarray) -> Cost:
        """Return what `as_array` gave."""
        gradients, queries, seconds, *first = numbers.tolist()
        return cls(int(gradients), int(queries), seconds, FirstGradients(*map(int, first)))


@dataclasses.dataclass(frozen=True)
class DetectorRows:
    """One detector against one attack, in a block.

    Attributes:
        clean: float32 `(n,)`: scores of the clean images.
        adversarial: those of the same images attacked.
        threshold: scores above it mean adversarial.
        fitted_on: what it learned from.
    """

    clean: PerImage
    adversarial: PerImage
    threshold: float
    fitted_on: FittedOn


@dataclasses.dataclass(frozen=True)
class Expected:
    """What the arrays of a file must be like.

    Attributes:
        images: of the block.
        examples: among them.
        image_shape: `(height, width, channels)`.
        classes: of the judged classifier.
        detectors: how many look at it.
        keeps_images: whether the attacked images are among the arrays.
    """

    images: int
    examples: int
    image_shape: ImageShape
    classes: int
    detectors: int = 0
    keeps_images: bool = False


@dataclasses.dataclass(frozen=True)
class AttackRows:
    """One attack on one classifier, in a block; the names are those of `audit.Audit`.

    Attributes:
        prediction: int32 `(n,)`.
        success: bool `(n,)`.
        reached: bool `(n,)`.
        distance: norm → float64 `(n,)`.
        violations: how many images break the rules of the attack.
        cost: of crafting these images.
        learning: what it took to learn the attack, which is the same in every block; `None` of an
            attack that learns nothing.
        examples: the block's examples, attacked.
        images: all of them, attacked; `None` unless they are kept.
        detectors: those that look at this classifier.
        cut_off: images whose attack ended early, because a budget of queries was spent.
        found: what was reached by each number of queries, of a black-box attack.
    """

    prediction: Labels
    success: Flags
    reached: Flags
    distance: Mapping[str, PerImage]
    violations: int
    cost: Cost
    learning: Cost | None
    examples: Images
    images: Images | None = None
    detectors: tuple[DetectorRows, ...] = ()
    cut_off: int = 0
    found: AskedQueries | None = None

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays, for a file."""
        arrays: dict[str, Any] = {
            "prediction": self.prediction,
            "success": self.success,
            "reached": self.reached,
            **self.distance,
            "violations": np.array(self.violations),
            "cut_off": np.array(self.cut_off),
            "cost": self.cost.as_array(),
            "examples": self.examples,
        }
        if self.learning is not None:
            arrays["learning"] = self.learning.as_array()
        if self.images is not None:
            arrays["images"] = self.images
        if self.found is not None:
            arrays["asked"], arrays["least"] = self.found.asked, self.found.least
        for k, detector in enumerate(self.detectors):
            arrays[f"d{k}_clean"] = detector.clean
            arrays[f"d{k}_adversarial"] = detector.adversarial
            arrays[f"d{k}_threshold"] = np.array(detector.threshold)
            arrays[f"d{k}_fitted_on"] = np.array(list(detector.fitted_on.model_dump().values()))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], expected: Expected) -> AttackRows:
        """Return what `as_arrays` gave.

        Args:
            arrays: of a file.
            expected: what they must be like.

        Raises:
            ValueError, KeyError, TypeError, OverflowError: it is something else.
        """
        count, shape = expected.images, expected.image_shape
        violations, cut_off = int(arrays["violations"]), int(arrays["cut_off"])
        for name, images in (("violations", violations), ("cut_off", cut_off)):
            if not 0 <= images <= count:
                raise ValueError(f"{name}: expected 0 to {count}; received: {images}")
        return cls(
            prediction=checked_classes(arrays["prediction"], count, expected.classes),
            success=_checked(arrays["success"], (count,), "b"),
            reached=_checked(arrays["reached"], (count,), "b"),
            distance={norm: _checked(arrays[norm], (count,), "f") for norm in NORMS},
            violations=violations,
            cut_off=cut_off,
            cost=Cost.from_array(arrays["cost"]),
            learning=Cost.from_array(arrays["learning"]) if "learning" in arrays else None,
            examples=_images(arrays["examples"], (expected.examples, *shape)),
            images=_images(arrays["images"], (count, *shape)) if expected.keeps_images else None,
            detectors=tuple(_detector(arrays, k, count) for k in range(expected.detectors)),
            found=_found(arrays, count) if "asked" in arrays else None,
        )


def _detector(arrays: Mapping[str, np.ndarray], k: int, count: int) -> DetectorRows:
    numbers = arrays[f"d{k}_fitted_on"].tolist()
    return DetectorRows(
        clean=_checked(arrays[f"d{k}_clean"], (count,), "f"),
        adversarial=_checked(arrays[f"d{k}_adversarial"], (count,), "f"),
        threshold=float(arrays[f"d{k}_threshold"]),
        fitted_on=FittedOn(**dict(zip(FittedOn.model_fields, numbers, strict=True))),
    )


def _found(arrays: Mapping[str, np.ndarray], count: int) -> AskedQueries:
    asked = _checked(arrays["asked"], (count,), "i")
    least = _checked(arrays["least"], (count, len(GRID)), "f")
    if (asked < 0).any() or not (least >= 0).all():
        raise ValueError("asked, least: expected numbers from 0")
    return AskedQueries(asked, least)


def checked_classes(array: np.ndarray, count: int, classes: int) -> Labels:
    """Return predictions that a file holds.

    Raises:
        ValueError: they are not `count` integers from 0 to `classes` - 1.
    """
    predicted: Labels = _checked(array, (count,), "i")
    if count and not 0 <= predicted.min() <= predicted.max() < classes:
        raise ValueError(f"expected classes below {classes}; received: {predicted.max()}")
    return predicted


def _images(array: np.ndarray, shape: tuple[int, ...]) -> Images:
    images: Images = _checked(array, shape, "f")
    if images.dtype != np.float32 or not np.isfinite(images).all():
        raise ValueError(f"expected finite float32; received: {images.dtype}")
    return images


def _checked(array: np.ndarray, shape: tuple[int, ...], kind: str) -> np.ndarray:
    if array.shape != shape or array.dtype.kind != kind:
        raise ValueError(f"expected {shape} of kind {kind}; received: {array.shape} {array.dtype}")
    return array


@dataclasses.dataclass(frozen=True)
class ClassifierRows:
    """One classifier in a block.

    Attributes:
        clean: int32 `(n,)`: what it predicts for the clean images.
        attacked: it under each attack.
        baselines: it under noise.
    """

    clean: Labels
    attacked: tuple[AttackRows, ...]
    baselines: tuple[AttackRows, ...]


@dataclasses.dataclass(frozen=True)
class BlockRows:
    """All that a block gives.

    Attributes:
        passes: of each pass over the classifiers, one a classifier; see `EvaluationJob`.
        images: the clean images; `None` unless they are kept.
    """

    passes: tuple[tuple[ClassifierRows, ...], ...]
    images: Images | None = None
