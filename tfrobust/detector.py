"""The `Detector` contract: tells adversarial images from clean ones."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.errors import DataError
from tfrobust.types import TRACES, Images, PerImage

Outputs = Mapping[str, Any]  # what `Classifier.outputs` returned for the same images
_COMPARED = 1024  # images at a time


class FittedDetector(tf.Module):
    """What `Detector.fit` returns.

    Attributes:
        threshold: scores above it mean adversarial, where the detector has a boundary of its own;
            `None`: the best one on the images it was fitted on is taken, which is right only for a
            detector that remembers none of them.
        eager: set it where `score` cannot run in `tf.function` (NumPy inside). Such a detector
            cannot be exported.
    """

    _TF_MODULE_IGNORED_PROPERTIES = tf.Module._TF_MODULE_IGNORED_PROPERTIES | {TRACES}

    threshold: float | None = None
    eager: ClassVar[bool] = False

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return float32 `(batch,)`: higher is more suspicious.

        Args:
            images: float32 `(batch, height, width, channels)`.
            outputs: what the classifier gave for them, where the caller has it already.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no score")

    def surrogate_score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return what somebody who knows the detector differentiates in place of `score`.

        By default the score. Override it where the score has no gradient, or one that misleads, as
        that of rounding.

        Args:
            images: float32 `(batch, height, width, channels)`.
            outputs: as those of `score`.
        """
        return self.score(images, outputs)

    def trackables(self) -> list[Any]:
        """Return the TensorFlow objects an export must keep, apart from the variables it reads."""
        return []


class Detector(abc.ABC):
    """Learns what gives adversarial images away; its fields are its options."""

    @abc.abstractmethod
    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Learn the difference.

        Args:
            classifier: who is to be protected.
            clean: float32 `(n, height, width, channels)`, which may be mapped from a file that is
                larger than the memory: see `tfrobust.classifiers.inference.in_batches`.
            adversarial: float32 `(m, height, width, channels)`, as well.

        Returns:
            The fitted detector; this object holds only its options and does not change.

        Raises:
            DataError: there are no clean or no adversarial images; see `check_both`.

        Whatever is drawn while fitting, and the seeds of what draws later, must come from what
        `keras.utils.set_random_seed` decides; see `tfrobust.evaluation.detection.fitted_on`.
        """


def check_both(clean: Images, adversarial: Images) -> None:
    """Refuse to fit a detector on one kind of images only.

    Raises:
        DataError: there are no clean or no adversarial ones, or the attack changed none.
    """
    counts = f"{len(clean)} clean, {len(adversarial)} adversarial"
    if not (len(clean) and len(adversarial)):
        raise DataError(f"a detector learns from clean and adversarial images; received: {counts}")
    if _same(clean, adversarial):
        raise DataError(
            f"a detector learns from clean and adversarial images; received: {counts}, all of them "
            "unchanged by the attack; give it a larger budget"
        )


def _same(clean: Images, adversarial: Images) -> bool:
    """Tell whether two arrays are equal, without an array of all the comparisons."""
    if clean.shape != adversarial.shape:
        return False
    parts = (slice(start, start + _COMPARED) for start in range(0, len(clean), _COMPARED))
    return all(np.array_equal(clean[part], adversarial[part]) for part in parts)
