"""The two detectors of MagNet: how much an auto-encoder changes an image, and the answer to it.

score(x) = max(e(x) / t_e, d(x) / t_d),  e: reconstruction error, d: divergence of the answers;
t: exceeded by a given share of clean images each. Above 1 one of the two calls it adversarial.

Meng & Chen, "MagNet: a two-pronged defense against adversarial examples" (2017). Threat: an
attacker who does not know of it.
Broken by: Carlini & Wagner, "MagNet and 'Efficient defenses against adversarial attacks' are not
robust to adversarial examples" (2017): small perturbations that go through the auto-encoder are not
conspicuous.
A classifier behind the defence `magnet` measures both with its own auto-encoder. For any other one
the detector trains an auto-encoder on the clean images, which then serves the detector alone.
Departures: one auto-encoder and one temperature.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import in_batches
from tfrobust.detector import Detector, FittedDetector, Outputs, check_both
from tfrobust.options import option, plugin
from tfrobust.types import Images, PerImage
from tfrobust_transformations.reformed import Activation, ErrorNorm, Reformed, auto_encoder

_MEASURES = ("reconstruction_error", "divergence")
_LEAST = 1e-12  # a threshold of zero divides by zero
_BATCH = 64  # images a step of the auto-encoder's training


@plugin
class MagnetDetector(Detector):
    """Looks at what an auto-encoder changes: that of `magnet`, or one of its own."""

    false_positives: float = option(
        "share of clean images that each of the two may reject", default=0.01, gt=0, lt=1
    )

    filters: int = option("of its own auto-encoder, a convolution", default=16, ge=1)
    activation: Activation = option("of its inner convolutions", default="relu")
    noise: float = option("σ of the noise that it is trained on", default=0.1, ge=0, le=1)
    epochs: int = option("of its training on the clean images", default=20, ge=0)
    learning_rate: float = option("of its training, with Adam", default=1e-3, gt=0)
    temperature: float = option("T of the divergence", default=10.0, gt=0)
    error: ErrorNorm = option("norm of the reconstruction error", default="l1")

    def fit(self, classifier: Classifier, clean: Images, adversarial: Images) -> FittedDetector:
        """Return the detector; of the images only the clean ones count. See `Detector`."""
        check_both(clean, adversarial)
        served = classifier.outputs(tf.zeros((1, *classifier.image_shape)))
        own = not all(measure in served for measure in _MEASURES)
        source = self._behind_auto_encoder(classifier, clean) if own else classifier
        return _Fitted(source, clean, self.false_positives, own=own)

    def _behind_auto_encoder(self, classifier: Classifier, clean: Images) -> Classifier:
        """Train an auto-encoder on clean images, and put it before the classifier."""
        model = auto_encoder(classifier.image_shape, self.filters, self.activation, pooling=False)
        model.compile(keras.optimizers.Adam(self.learning_rate), "mse")
        draw = np.random.default_rng(np.random.randint(2**31))
        for _ in range(self.epochs):
            order = draw.permutation(len(clean))
            for start in range(0, len(clean), _BATCH):
                images = clean[np.sort(order[start : start + _BATCH])]  # may be mapped from a file
                noise = self.noise * draw.standard_normal(images.shape)
                model.train_on_batch(np.clip(images + noise, 0, 1).astype(np.float32), images)
        return Reformed(classifier, model, self.temperature, self.error)


class _Fitted(FittedDetector):
    """The larger of the two measures, each as a share of its threshold.

    Args:
        classifier: serves the measures.
        clean: images that set the thresholds.
        false_positives: share of them above each threshold.
        own: whether the auto-encoder is the detector's, so that the outputs of the protected
            classifier hold no measures.
    """

    threshold = 1.0

    def __init__(
        self, classifier: Classifier, clean: Images, false_positives: float, *, own: bool
    ) -> None:
        super().__init__()
        self.classifier, self._own = classifier, own
        measured = in_batches(tf.function(self._measures, reduce_retracing=True), clean)
        exceeded = np.quantile(measured, 1 - false_positives, axis=0, method="higher")
        self._thresholds = np.maximum(exceeded, _LEAST).astype(np.float32)

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the score, float32 `(batch,)`; see `FittedDetector`."""
        return tf.reduce_max(self._measures(images, outputs) / self._thresholds, axis=1)

    def _measures(self, images: Images, outputs: Outputs | None = None) -> Any:
        """Return both measures, float32 `(batch, 2)`."""
        if outputs is None or self._own:
            outputs = self.classifier.outputs(images)
        return tf.stack([outputs[measure] for measure in _MEASURES], axis=1)

    def trackables(self) -> list[Any]:
        """Return what the classifier needs kept."""
        return self.classifier.trackables()
