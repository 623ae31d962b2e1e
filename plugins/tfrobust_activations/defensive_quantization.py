"""Defensive quantization: activations of few levels, and layers that do not amplify what is left.

min_θ CE(f(x), y) + β/2 Σ_l ‖W_lᵀ W_l − I‖²;  activations round(clip(x, 0, c) / s) · s of 2^b levels

Lin, Gan & Han, "Defensive quantization: when efficiency meets robustness" (2019). Threat:
white-box, L∞. Quantization alone amplifies a change that crosses a threshold from layer to layer;
the penalty keeps the layers near orthogonal, so that a change within a level stays there. The
gradient of the levels is zero, and the paper's attacks follow one that is passed straight through.
An attacker who estimates it from differences of the answers, as Tramèr et al. (2020) do for k
winners take all, sees the crossings, and breaks more (`estimated`). Departures: the hidden
activation functions of any Keras 3 network are replaced; weights stay floating-point numbers, as in
the paper's experiments on robustness; the penalty is on every dense and convolutional layer, whose
kernel is a matrix with a row an input of a filter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from tfrobust.adaptive import AdaptiveAttack
from tfrobust.classifier import Classifier
from tfrobust.defense import Defended
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_activations.estimated import estimating_attacks
from tfrobust_activations.quantized import UniformLevels
from tfrobust_activations.replaced import layers_of
from tfrobust_activations.replacing import ReplacesActivations


@plugin
class DefensiveQuantization(ReplacesActivations):
    """Trains a network of quantized activations, with a penalty on layers that amplify.

    Example:
        >>> quantized = create("defenses", "defensive_quantization", bits=4, penalty=1e-3)
        >>> train(create("models", "resnet"), scenario, Trainer(), [quantized])
    """

    bits: int = option("b: 2^b levels of each activation", default=4, ge=1, le=16)
    limit: float = option("c: greatest level (6, as in ReLU6)", default=6.0, gt=0)
    penalty: float = option("β: weight of the distance from orthogonal layers", default=1e-3, ge=0)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on gradients estimated from differences, and random search; see `Defense`."""
        return estimating_attacks("which see levels being crossed")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a copy of the classifier with other activation functions; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        quantized = self.replaced(
            classifier,
            scenario,
            trainer,
            lambda name: UniformLevels(self.bits, self.limit, name=name),
        )
        with _penalised(quantized.model, self.penalty):
            trainer.fit(quantized, scenario)
        return Defended(quantized)


def amplification(kernel: Any) -> Any:
    """Return ‖WᵀW − I‖² / 2 of a kernel as a matrix, one column an output.

    Example:
        >>> float(amplification(np.eye(3, dtype=np.float32)))
        0.0
    """
    matrix = keras.ops.reshape(kernel, (-1, kernel.shape[-1]))
    gram = keras.ops.matmul(keras.ops.transpose(matrix), matrix)
    return 0.5 * keras.ops.sum(keras.ops.square(gram - keras.ops.eye(matrix.shape[1])))


@contextlib.contextmanager
def _penalised(model: KerasModel, beta: float) -> Iterator[None]:
    """Add the penalty to the model's losses, for as long as this lasts."""
    kernels = [layer.kernel for layer in layers_of(model, keras.layers.Dense, keras.layers.Conv2D)]
    earlier: list[Callable[[Any], Any] | None] = [kernel.regularizer for kernel in kernels]
    for kernel, before in zip(kernels, earlier, strict=True):
        kernel.regularizer = _joined(before, beta)
    try:
        yield
    finally:
        for kernel, before in zip(kernels, earlier, strict=True):
            kernel.regularizer = before


def _joined(before: Callable[[Any], Any] | None, beta: float) -> Callable[[Any], Any]:
    def penalty(kernel: Any) -> Any:
        return beta * amplification(kernel) + (before(kernel) if before else 0.0)

    return penalty
