"""Scores of images that a detector has not seen, when it remembers what it was fitted on.

A clean image is nearest to itself. A boundary fitted to the scores of remembered images would
reject every new image, so each image is scored while it is held out.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrobust.classifiers.inference import in_batches
from tfrobust.detector import FittedDetector
from tfrobust.types import Images, PerImage

_FOLDS = 5


class Remembering(FittedDetector):
    """A fitted detector that remembers clean images."""

    def remember(self, rows: np.ndarray) -> None:
        """Remember only these of the clean images it was fitted on.

        Args:
            rows: bool `(n,)`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no remember")


def held_out_scores(
    detector: Remembering, clean: Images, adversarial: Images, *, whole: bool = False
) -> tuple[PerImage, PerImage]:
    """Score every image while a detector remembers the other four fifths of the clean ones.

    An adversarial image is scored without the clean one it was made from too, where both stand at
    the same place.

    Args:
        detector: fitted on the clean images; remembers all of them in the end.
        clean: float32 `(n, height, width, channels)`.
        adversarial: float32 `(m, height, width, channels)`.
        whole: score all images each time, for a classifier whose answers depend on the whole batch.

    Returns:
        The scores, `(n,)` and `(m,)`. A single clean image cannot be left out, and scores itself.
    """
    score = tf.function(detector.score, reduce_retracing=True)
    folds = min(_FOLDS, len(clean))
    scored = np.zeros(len(clean), np.float32), np.zeros(len(adversarial), np.float32)
    for fold in range(folds):
        if folds > 1:
            detector.remember(np.arange(len(clean)) % folds != fold)
        for images, into in zip((clean, adversarial), scored, strict=True):
            if whole:
                into[fold::folds] = in_batches(score, images)[fold::folds]
            elif len(images[fold::folds]):
                into[fold::folds] = in_batches(score, images[fold::folds])
    detector.remember(np.ones(len(clean), bool))
    return scored
