"""Predictions of an unfinished evaluation, kept so that it can go on where it stopped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import identity
from tfrobust.errors import StoreError
from tfrobust.evaluation.judging import Plan
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.output_folders import PARTIAL
from tfrobust.types import Labels


class KeptPredictions:
    """Predictions by content: the same clean images, shift, seed and classifier.

    Args:
        out: the run folder; the files lie in a hidden folder of it until `Partial.discard`.
        plan: whose images and labels are shifted.
    """

    def __init__(self, out: Path, plan: Plan) -> None:
        self._folder, self._plan = out / PARTIAL, plan
        content = hashlib.sha256()
        for array in (plan.images, plan.labels):
            content.update(np.ascontiguousarray(array).tobytes())
        self._content = content.digest()
        self._identities: dict[Classifier, bytes] = {}

    def load(self, scene: str, classifier: Classifier) -> Labels | None:
        """Return what was predicted before the interruption, int64 `(images,)`, or `None`.

        Args:
            scene: tells what the images went through from anything else.
            classifier: whose predictions.
        """
        try:
            found = read_arrays(self._path(scene, classifier))["prediction"]
        except (StoreError, KeyError):
            return None  # never made, or damaged: it is made again
        fits = found.shape == self._plan.labels.shape and found.dtype.kind in "iu"
        return found if fits else None

    def save(self, scene: str, classifier: Classifier, predicted: Labels) -> None:
        """Keep finished predictions.

        Raises:
            StoreError: the disk refuses.
        """
        write_arrays(self._path(scene, classifier), {"prediction": predicted})

    def _path(self, scene: str, classifier: Classifier) -> Path:
        content = hashlib.sha256(self._content + scene.encode())
        content.update(self._identity(classifier))
        return self._folder / f"{content.hexdigest()[:32]}.npz"

    def _identity(self, classifier: Classifier) -> bytes:
        """Return what tells a classifier from others, worked out once."""
        if classifier not in self._identities:
            self._identities[classifier] = identity(classifier, self._plan.images)
        return self._identities[classifier]
