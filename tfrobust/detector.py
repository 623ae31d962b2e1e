"""The `Detector` contract: tells adversarial images from clean ones."""

from __future__ import annotations

import abc
from typing import Protocol

from tfrobust.classifier import Classifier
from tfrobust.types import Images, PerImage


class FittedDetector(Protocol):
    """What `Detector.fit` returns."""

    def score(self, images: Images) -> PerImage:
        """Return float `(batch,)`: higher is more suspicious."""


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
        """
