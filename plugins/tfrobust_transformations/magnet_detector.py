"""The two detectors of MagNet: how much an auto-encoder changes an image, and the answer to it.

score(x) = max(e(x) / t_e, d(x) / t_d),  e: reconstruction error, d: divergence of the answers;
t: exceeded by a given share of clean images each. Above 1 one of the two calls it adversarial.

Meng & Chen, "MagNet: a two-pronged defense against adversarial examples" (2017). Threat: an
attacker who does not know of it.
Broken by: Carlini & Wagner, "MagNet and 'Efficient defenses against adversarial attacks' are not
robust to adversarial examples" (2017): small perturbations that go through the auto-encoder are not
conspicuous.
Departures: of one auto-encoder and one temperature, those of the defence `magnet`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import in_batches
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.types import Images, PerImage

_MEASURES = ("reconstruction_error", "divergence")
_LEAST = 1e-12  # a threshold of zero divides by zero


@plugin
class MagnetDetector(Detector):
    """Looks at what the auto-encoder of `magnet` changes."""

    false_positives: float = option(
        "share of clean images that each of the two may reject", default=0.01, gt=0, lt=1
    )

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Return the detector; of the images only the clean ones count. See `Detector`.

        Raises:
            UsageError: the classifier has no auto-encoder before it.
        """
        check_both(clean, adversarial)
        served = classifier.outputs(tf.zeros((1, *classifier.image_shape)))
        if not all(measure in served for measure in _MEASURES):
            raise UsageError(
                "magnet_detector: expected a classifier behind the defence magnet, which measures "
                f"{' and '.join(_MEASURES)}; received: one that serves {', '.join(served)}"
            )
        return _Fitted(classifier, clean, self.false_positives)


class _Fitted(FittedDetector):
    threshold = 1.0

    def __init__(self, classifier: Classifier, clean: Images, false_positives: float) -> None:
        super().__init__()
        self.classifier = classifier
        measured = in_batches(tf.function(self._measures, reduce_retracing=True), clean)
        exceeded = np.quantile(measured, 1 - false_positives, axis=0, method="higher")
        self._thresholds = np.maximum(exceeded, _LEAST).astype(np.float32)

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the score, float32 `(batch,)`; see `FittedDetector`."""
        return tf.reduce_max(self._measures(images, outputs) / self._thresholds, axis=1)

    def _measures(self, images: Images, outputs: Outputs | None = None) -> Any:
        """Return both measures, float32 `(batch, 2)`."""
        served = self.classifier.outputs(images) if outputs is None else outputs
        return tf.stack([served[measure] for measure in _MEASURES], axis=1)

    def trackables(self) -> list[Any]:
        """Return what the classifier needs kept."""
        return self.classifier.trackables()
