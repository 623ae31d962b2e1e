"""The `Detector` contract: tells adversarial images from clean ones."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.errors import DataError
from tfrobust.types import Images, PerImage

Outputs = Mapping[str, Any]  # what `Classifier.outputs` returned for the same images


class FittedDetector(tf.Module):
    """What `Detector.fit` returns.

    Attributes:
        threshold: scores above it mean adversarial, where the detector has a boundary of its own;
            `None`: the best one on the images it was fitted on is taken.
        eager: set it where `score` cannot run in `tf.function` (NumPy inside). Such a detector
            cannot be exported.
    """

    threshold: float | None = None
    eager: ClassVar[bool] = False

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return float32 `(batch,)`: higher is more suspicious.

        Args:
            images: float32 `(batch, height, width, channels)`.
            outputs: what the classifier gave for them, where the caller has it already.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no score")

    def trackables(self) -> list[Any]:
        """Return the TensorFlow objects an export must keep besides the variables it reads."""
        return []


class Detector(abc.ABC):
    """Learns what gives adversarial images away; its fields are its options."""

    @abc.abstractmethod
    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Learn the difference.

        Args:
            classifier: who is to be protected.
            clean: float32 `(n, height, width, channels)`.
            adversarial: float32 `(m, height, width, channels)`.

        Returns:
            The fitted detector; this object holds only its options and does not change.

        Raises:
            DataError: there are no clean or no adversarial images; see `check_both`.
        """


def check_both(clean: Images, adversarial: Images) -> None:
    """Refuse to fit a detector on one kind of images only.

    Raises:
        DataError: there are no clean or no adversarial ones.
    """
    if len(clean) and len(adversarial):
        return
    raise DataError(
        "a detector learns from clean and adversarial images; "
        f"received: {len(clean)} clean, {len(adversarial)} adversarial"
    )
