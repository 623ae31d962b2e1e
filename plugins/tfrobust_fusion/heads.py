"""The layers of a fusion: a joint one over all streams, and a linear one per stream.

Linear:     z = Σ_s W_s f_s(x) + b
Recurrent:  d = Σ_s W_s f_s(x) + b,  h_1 = tanh(d),  h_{t+1} = tanh(d + U h_t),  z = V h_T + c

Both are trained on cross-entropy + α · ‖W_foreground‖².
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_fusion.features import FeatureScenario

JOINT = "joint"
_STATE = f"{JOINT}.state"


@dataclasses.dataclass(frozen=True)
class Recurrence:
    """How a recurrent joint layer settles.

    Attributes:
        units: of its state h.
        steps: T: how often the state is computed; the first time without what it was before.
    """

    units: int
    steps: int


class Heads:
    """Untrained layers.

    Args:
        widths: stream → how many features it has; the first is the foreground.
        num_classes: of every layer.
        alpha: α: the price of the joint layer's squared foreground weights.
        seed: of the random weights.
        recurrence: of the joint layer; none: it is linear.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        num_classes: int,
        *,
        alpha: float,
        seed: int,
        recurrence: Recurrence | None = None,
    ) -> None:
        self.widths = dict(widths)
        self._recurrence = recurrence
        draws = iter(range(seed, seed + 2 * len(widths) + 2))
        foreground = next(iter(widths))

        def dense(name: str, units: int, **options: Any) -> Any:
            start = keras.initializers.GlorotUniform(next(draws))
            return keras.layers.Dense(units, kernel_initializer=start, name=name, **options)

        self.own = {name: dense(name, num_classes) for name in widths}
        self._parts = {
            name: dense(
                f"{JOINT}.{name}",
                recurrence.units if recurrence else num_classes,
                use_bias=name == foreground,
                kernel_regularizer=keras.regularizers.L2(alpha) if name == foreground else None,
            )
            for name in widths
        }
        if recurrence:
            self._recurrent = dense(f"{JOINT}.recurrent", recurrence.units, use_bias=False)
            self._readout = dense(JOINT, num_classes)

    def joint(self, streams: Mapping[str, Any]) -> Any:
        """Return the joint layer's logits of each stream's symbolic features."""
        parts = [self._parts[name](x) for name, x in streams.items()]
        if self._recurrence is None:
            return keras.layers.Add(name=JOINT)(parts)
        drive = keras.layers.Add(name=f"{JOINT}.drive")(parts)
        state = keras.layers.Activation("tanh", name=_STATE)(drive)
        for step in range(1, self._recurrence.steps):
            fed_back = keras.layers.Add(name=f"{JOINT}.sum{step}")([drive, self._recurrent(state)])
            state = keras.layers.Activation("tanh", name=f"{_STATE}{step}")(fed_back)
        return self._readout(state)

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


def is_recurrent(model: KerasModel) -> bool:
    """Tell whether the joint layer of a model of `Heads.model` has a state."""
    return any(layer.name == _STATE for layer in model.layers)
