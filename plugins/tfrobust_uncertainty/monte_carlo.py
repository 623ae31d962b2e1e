"""The mean over many passes of a random classifier, and the variance between the passes."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from tfrobust.classifier import Classifier, Wrapped
from tfrobust.types import Images, Logits
from tfrobust_uncertainty.passes import Passes


class MonteCarlo(Wrapped):
    """A classifier that averages the softmax of several passes.

    Its logits are the logarithm of the averaged probabilities, so that gradients go through all
    passes. Each call draws new numbers.

    Args:
        inner: what the passes go through.
        passes: from `passes_through`.
        batch_dependent: whether the passes normalise over the batch.
    """

    def __init__(self, inner: Classifier, passes: Passes, *, batch_dependent: bool = False) -> None:
        super().__init__(
            inner,
            stochastic=True,
            passes=passes.samples * inner.passes,
            batch_dependent=batch_dependent or inner.batch_dependent,
        )
        self.through = passes

    def __call__(self, images: Images) -> Logits:
        """Return log p, p averaged over the passes, float32 `(batch, classes)`."""
        return _log_mean(tf.nn.log_softmax(self.through(images)))

    def outputs(self, images: Images) -> dict[str, Any]:
        """Return logits, averaged `probabilities` and `uncertainty`, float32 `(batch,)`.

        The uncertainty is the mean over classes of the variance over passes, (Σᵢ Var Oᵢ) / n.
        """
        log_probabilities = tf.nn.log_softmax(self.through(images))
        logits = _log_mean(log_probabilities)
        variance = tf.math.reduce_variance(tf.exp(log_probabilities), axis=0)
        return {
            "logits": logits,
            "probabilities": tf.exp(logits),
            "uncertainty": tf.reduce_mean(variance, axis=1),
        }

    def trackables(self) -> list[Any]:
        """Return what the inner classifier and the passes need kept."""
        return [*super().trackables(), *self.through.state]


def _log_mean(log_probabilities: Any) -> Any:
    """Return log mean exp over the passes; stays finite where every pass is sure."""
    count = math.log(log_probabilities.shape[0])
    return tf.reduce_logsumexp(log_probabilities, axis=0) - count
