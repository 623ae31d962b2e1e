"""Logistic regression, fitted by scikit-learn and run in TensorFlow.

p(adversarial | v) = σ(w · (v − μ) / s + b); the inputs are standardised, because variances of
1e-3 would be flattened by the regularisation otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def _balanced() -> LogisticRegression:
    """Return a regression that gives both classes the same weight for any number of images."""
    return LogisticRegression(class_weight="balanced")


class Logistic(tf.Module):
    """The fitted regression.

    Args:
        clean: float `(n, inputs)`: what was measured on clean images.
        adversarial: float `(m, inputs)`: on adversarial ones.
    """

    def __init__(self, clean: np.ndarray, adversarial: np.ndarray) -> None:
        super().__init__()
        values = np.concatenate([clean, adversarial])
        truth = np.concatenate([np.zeros(len(clean)), np.ones(len(adversarial))])
        fitted = make_pipeline(StandardScaler(), _balanced()).fit(values, truth)
        scaler, regression = fitted[0], fitted[1]
        weights = regression.coef_[0] / scaler.scale_
        bias = regression.intercept_[0] - weights @ scaler.mean_
        self.weights = tf.constant(weights, tf.float32)
        self.bias = tf.constant(bias, tf.float32)

    def __call__(self, values: Any) -> Any:
        """Return the probability of being adversarial, float32 `(batch,)`.

        Args:
            values: float32 `(batch, inputs)`.
        """
        return tf.sigmoid(tf.linalg.matvec(values, self.weights) + self.bias)
