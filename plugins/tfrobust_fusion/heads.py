"""The linear layers of a fusion: one over all streams, and one per stream.

z = Σ_s W_s f_s(x) + b,  trained on cross-entropy + α · ‖W_foreground‖²
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_fusion.features import FeatureScenario

JOINT = "joint"


class Heads:
    """Untrained linear layers.

    Args:
        widths: stream → how many features it has; the first is the foreground.
        num_classes: of every layer.
        alpha: α: the price of the joint layer's squared foreground weights.
        seed: of the random weights.
    """

    def __init__(
        self, widths: Mapping[str, int], num_classes: int, *, alpha: float, seed: int
    ) -> None:
        self.widths = dict(widths)
        draws = iter(range(seed, seed + 2 * len(widths)))
        foreground = next(iter(widths))

        def dense(name: str, **options: Any) -> Any:
            start = keras.initializers.GlorotUniform(next(draws))
            return keras.layers.Dense(num_classes, kernel_initializer=start, name=name, **options)

        self.own = {name: dense(name) for name in widths}
        self._parts = {
            name: dense(
                f"{JOINT}.{name}",
                use_bias=name == foreground,
                kernel_regularizer=keras.regularizers.L2(alpha) if name == foreground else None,
            )
            for name in widths
        }

    def joint(self, streams: Mapping[str, Any]) -> Any:
        """Return the joint layer's logits of each stream's symbolic features."""
        return keras.layers.Add(name=JOINT)([self._parts[name](x) for name, x in streams.items()])

    def model(self) -> Any:
        """Return all of them as a model, features side by side `(batch, units)` → each's logits."""
        features = keras.Input((sum(self.widths.values()),), name="features")
        return keras.Model(features, self.logits(features), name="fusion")

    def logits(self, features: Any) -> dict[str, Any]:
        """Return each layer's logits of symbolic features side by side, by its name."""
        streams = self._parted(features)
        return {JOINT: self.joint(streams)} | {n: self.own[n](x) for n, x in streams.items()}

    def fit(self, scenario: FeatureScenario, trainer: Trainer) -> None:
        """Train the joint layer on the features of all streams."""
        pixels, features = self._entrance(sum(self.widths.values()))
        logits = self.joint(self._parted(features))
        _fit(keras.Model(pixels, logits, name=JOINT), scenario, trainer)

    def fit_own(self, scenario: FeatureScenario, trainer: Trainer) -> None:
        """Train each stream's own layer on its features."""
        start = 0
        for name, width in self.widths.items():
            pixels, features = self._entrance(width)
            model = keras.Model(pixels, self.own[name](features), name=name)
            _fit(model, scenario.only(start, start + width), trainer)
            start += width

    def _parted(self, features: Any) -> dict[str, Any]:
        ends = np.cumsum(list(self.widths.values())).tolist()
        return {
            name: features[:, end - width : end]
            for (name, width), end in zip(self.widths.items(), ends, strict=True)
        }

    @staticmethod
    def _entrance(width: int) -> tuple[Any, Any]:
        pixels = keras.Input((1, 1, width))
        return pixels, keras.layers.Flatten()(pixels)


def _fit(model: KerasModel, scenario: FeatureScenario, trainer: Trainer) -> None:
    classifier = KerasClassifier(model, class_names=scenario.class_names)
    trainer.altered().fit(classifier, scenario)


def mean_weights(model: KerasModel, streams: list[str]) -> dict[str, float]:
    """Return the mean absolute weight that the joint layer has for each stream's features.

    Args:
        model: of `Heads.model`, trained.
        streams: their names.
    """
    return {
        name: float(np.abs(model.get_layer(f"{JOINT}.{name}").kernel.numpy()).mean())
        for name in streams
    }
