"""The files of an unfinished evaluation, from which it can continue.

They are kept in a hidden folder of the run folder, each named by a hash of its inputs, until the
run is complete (`tfrobust.results.run_files.discard_partial`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import identity
from tfrobust.engine.run import Crafted
from tfrobust.engine.victim import FirstGradients
from tfrobust.errors import StoreError
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.settings import EvaluationInputs
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.files.output_folders import PARTIAL
from tfrobust.registry import signature
from tfrobust.types import Images, Labels


class Partial:
    """Crafted images, found again by images, classifier, attack and seed, not by names.

    Args:
        out: the run folder.
    """

    def __init__(self, out: Path) -> None:
        self._folder = out / PARTIAL

    def load(self, inputs: EvaluationInputs, subject: Subject, attack: Attack) -> Crafted | None:
        """Return what this attack crafted before the interruption, or `None`."""
        path = self._path(inputs, subject, attack)
        try:
            arrays = read_arrays(path)
            images, targets = arrays["images"], arrays["targets"]
            if images.shape != inputs.images.shape or images.dtype != np.float32:
                return None
            if targets.ndim != 1 or len(targets) not in (0, len(images)):
                return None
            return Crafted(
                images=images,
                targets=targets if len(targets) else None,
                gradients=int(arrays["gradients"]),
                queries=int(arrays["queries"]),
                seconds=float(arrays["seconds"]),
                first=FirstGradients(*map(int, arrays["first"])),
            )
        except (StoreError, KeyError, TypeError, ValueError):
            return None  # not finished, or damaged: it is computed again

    def save(
        self, inputs: EvaluationInputs, subject: Subject, attack: Attack, crafted: Crafted
    ) -> None:
        """Keep a finished attack.

        Raises:
            StoreError: the disk refuses.
        """
        arrays = {
            "images": crafted.images,
            "targets": np.zeros(0) if crafted.targets is None else crafted.targets,
            "gradients": np.array(crafted.gradients),
            "queries": np.array(crafted.queries),
            "seconds": np.array(crafted.seconds),
            "first": np.array(dataclasses.astuple(crafted.first)),
        }
        write_arrays(self._path(inputs, subject, attack), arrays)

    def _path(self, inputs: EvaluationInputs, subject: Subject, attack: Attack) -> Path:
        settings = inputs.settings
        attacked = settings.crafted_on[1] if settings.crafted_on else subject.classifier
        recipe = {
            "attack": signature(attack),
            "seed": settings.seed,
            "targets": str(settings.targets),
        }
        content = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode())
        boxes = [inputs.boxes] if attack.needs_boxes else []
        for array in (inputs.images, inputs.labels, *boxes):
            content.update(np.ascontiguousarray(array).tobytes())
        content.update(identity(attacked, inputs.images))
        return self._folder / f"{content.hexdigest()[:32]}.npz"


class KeptPredictions:
    """Predictions by content: the same clean images, shift, seed and classifier.

    Args:
        out: the run folder.
        images: the clean images that are shifted, float32 `(n, height, width, channels)`.
        labels: int64 `(n,)`.
    """

    def __init__(self, out: Path, images: Images, labels: Labels) -> None:
        self._folder, self._images, self._count = out / PARTIAL, images, len(labels)
        content = hashlib.sha256()
        for array in (images, labels):
            content.update(np.ascontiguousarray(array).tobytes())
        self._content = content.digest()
        self._identities: dict[Classifier, bytes] = {}

    def load(self, condition: str, classifier: Classifier) -> Labels | None:
        """Return what was predicted before the interruption, int64 `(n,)`, or `None`.

        Args:
            condition: tells what the images went through from anything else.
            classifier: whose predictions.
        """
        try:
            predicted = read_arrays(self._path(condition, classifier))["prediction"]
        except (StoreError, KeyError):
            return None  # not finished, or damaged: it is computed again
        fits = predicted.shape == (self._count,) and predicted.dtype.kind in "iu"
        return predicted if fits else None

    def save(self, condition: str, classifier: Classifier, predicted: Labels) -> None:
        """Keep finished predictions.

        Raises:
            StoreError: the disk refuses.
        """
        write_arrays(self._path(condition, classifier), {"prediction": predicted})

    def _path(self, condition: str, classifier: Classifier) -> Path:
        if classifier not in self._identities:
            self._identities[classifier] = identity(classifier, self._images)
        content = hashlib.sha256(self._content + condition.encode())
        content.update(self._identities[classifier])
        return self._folder / f"{content.hexdigest()[:32]}.npz"
