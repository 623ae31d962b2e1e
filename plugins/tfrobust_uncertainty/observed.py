"""The inputs of the detectors: the uncertainty of a classifier, and its hidden features."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import in_batches
from tfrobust.classifiers.traces import Traces
from tfrobust.detector import FittedDetector, Outputs
from tfrobust.options import option
from tfrobust.types import Images, PerImage
from tfrobust_uncertainty.monte_carlo import MonteCarlo
from tfrobust_uncertainty.passes import passes_through

_FEATURES: Traces[Callable[..., Any]] = Traces(most=4)


def samples_option() -> Any:
    """Return the option `samples` of detectors that look at the uncertainty."""
    return option("passes, where the classifier gives no uncertainty itself", default=50, ge=2)


def rate_option() -> Any:
    """Return the option `rate` of the same detectors."""
    return option("of the dropout in those passes; see mc_dropout", default=None, ge=0, lt=1)


class Uncertainty(tf.Module):
    """The uncertainty of a classifier: its own, or that of passes with dropout on.

    Args:
        classifier: one that serves `uncertainty`, or that Monte Carlo dropout fits.
        samples: passes, where it serves none.
        rate: of the dropout then.

    Raises:
        UsageError: it serves none and is not random; see `passes_through`.
    """

    def __init__(self, classifier: Classifier, samples: int, rate: float | None) -> None:
        super().__init__()
        probe = tf.zeros((1, *classifier.image_shape))
        self._own = "uncertainty" in classifier.outputs(probe)
        self.source = classifier
        if not self._own:
            self.source = MonteCarlo(classifier, passes_through(classifier, samples, rate))

    def __call__(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return float32 `(batch,)`, from the outputs where they hold it."""
        if outputs is None or not self._own:
            outputs = self.source.outputs(images)
        return outputs["uncertainty"]

    def of_all(self, images: Images) -> np.ndarray:
        """Return float64 `(n,)` of any number of images."""
        traced = tf.function(self.__call__, reduce_retracing=True)
        return in_batches(traced, images).astype(np.float64)


class LooksAtUncertainty(FittedDetector):
    """A fitted detector that looks at nothing but the uncertainty."""

    def __init__(self, uncertainty: Uncertainty) -> None:
        super().__init__()
        self.uncertainty = uncertainty

    def score(self, images: Images, outputs: Outputs | None = None) -> PerImage:
        """Return the score, float32 `(batch,)`; see `FittedDetector`."""
        return self.of(self.uncertainty(images, outputs))

    def of(self, uncertainty: PerImage) -> PerImage:
        """Return the score of an uncertainty: itself."""
        return uncertainty

    def trackables(self) -> list[Any]:
        """Return what the passes need kept."""
        return self.uncertainty.source.trackables()


def features_of_all(classifier: Classifier, images: Images) -> np.ndarray:
    """Return the hidden features of all images, float32 `(n, units)`."""
    return in_batches(_features(classifier), images)


def _features(classifier: Classifier) -> Callable[..., Any]:
    trace = functools.partial(tf.function, classifier.features, reduce_retracing=True)
    return _FEATURES.of(classifier, "features", trace)
