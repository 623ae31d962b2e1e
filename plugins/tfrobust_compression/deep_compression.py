"""Deep compression: weights are pruned by size, and the remaining ones share a few values.

1. Prune the smallest weights of each layer, and train the rest.
2. Cluster the rest of each layer by k-means; members of a cluster share its centre.
3. Train the centres: the members move together.

Han, Mao & Dally, "Deep compression: compressing deep neural networks with pruning, trained
quantization and Huffman coding" (2016). Departures: a layer's share is pruned, where the paper sets
a threshold by hand; a centre moves by the mean of its members' steps and not by their sum, so that
one learning rate fits clusters of all sizes. Biases and normalisations are not compressed, and
neither are other weights that are not kernels (`kernels`); those are logged and recorded.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import megabytes, megabytes_of
from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.defense import ANY_TRAINING, Changes, Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel
from tfrobust_compression.kernels import kernels_of, left_out, weights_of
from tfrobust_compression.shared import Shared, as_shared, shared

Constraint = Callable[[Any], Any]


@plugin
class DeepCompression(Defense):
    """Makes a network small: few weights, with few values."""

    stage: ClassVar[Stage] = Stage.FINE_TUNING
    undone_by: ClassVar[Changes] = ANY_TRAINING

    bits: int = option("2^bits values per layer", default=5, ge=1, le=16)
    sparsity: float = option(
        "share of each layer's weights that is pruned", default=0.5, ge=0, lt=1
    )
    prune_epochs: int = option("epochs of training after pruning", default=2, ge=0)
    tune_epochs: int = option("epochs of training the shared values", default=2, ge=0)
    learning_rate: float = option("learning rate of both trainings", default=1e-4, gt=0)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts: its gradients are right; see `Defense`."""
        return long_ascent(
            "shared weights leave the gradients right: many steps from several starts",
            "Tramèr et al. 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a classifier without Keras 3 weights; see `Defense`.

        Raises:
            UsageError: says what it is.
        """
        network = check_tunable(classifier, "deep_compression")
        if keras_of(network.model) is not keras:
            raise UsageError("deep_compression: expected a Keras 3 model; received: a Keras 2 one")
        if not kernels_of(network.model):
            raise UsageError(
                "deep_compression: expected a network with kernels, of convolutions or dense "
                "layers; received: one without; leave the defence out"
            )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Return a compressed copy of the classifier; see `Defense`.

        How many weights are compressed, and which are left out, is `found`, for the card.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            compressed = copied(classifier)
        model = compressed.model
        kernels = kernels_of(model)
        for kernel in kernels.values():
            kernel.assign(pruned(np.asarray(kernel), self.sparsity))
        masks = {name: _zeros_kept(np.asarray(kernel)) for name, kernel in kernels.items()}
        self._train(compressed, scenario, trainer, self.prune_epochs, masks)
        codes = {name: shared(np.asarray(kernel), self.bits) for name, kernel in kernels.items()}
        for name, kernel in kernels.items():
            kernel.assign(codes[name].weights)
        ties = {name: _tied(code) for name, code in codes.items()}
        self._train(compressed, scenario, trainer, self.tune_epochs, ties)
        counts = _counts(model)
        if others := counts["left_out"]:
            trainer.log(
                "deep_compression: left as they are, for no layer calls them its kernel: "
                + ", ".join(f"{name} ({count:,} weights)" for name, count in others.items())
            )
        return Defended(compressed.replace(megabytes=compressed_megabytes(model)), counts)

    def summary_totals(self, classifier: Classifier, found: Mapping[str, Any]) -> dict[str, str]:
        """Return the compressed size, and the weights that are not compressed; see `Defense`."""
        totals = {"compressed": f"{megabytes(classifier):.3g} MB"}
        if others := found.get("left_out"):
            totals["not compressed"] = ", ".join(others)
        return totals

    def _train(
        self,
        classifier: KerasClassifier,
        scenario: Scenario,
        trainer: Trainer,
        epochs: int,
        constraints: Mapping[str, Constraint],
    ) -> None:
        own = trainer.altered(
            epochs=epochs,
            learning_rate=self.learning_rate,
            schedule="constant",
            weight_decay=0.0,
            target=None,
        )
        with _constrained(kernels_of(classifier.model), constraints):
            own.fit(classifier, scenario)


def _counts(model: KerasModel) -> dict[str, Any]:
    """Return how many weights of a model are compressed, and how many are not."""
    sizes = [math.prod(kernel.shape) for kernel in kernels_of(model).values()]
    others = {name: math.prod(weight.shape) for name, weight in left_out(model).items()}
    return {"kernels": len(sizes), "compressed_weights": sum(sizes), "left_out": others}


def pruned(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """Return the weights with the smallest share of them set to 0.

    Example:
        >>> pruned(np.array([0.1, -0.4, 0.2, 0.3], np.float32), 0.5)
        array([ 0. , -0.4,  0. ,  0.3], dtype=float32)
    """
    smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[: int(sparsity * weights.size)]
    left = weights.copy()
    left.flat[smallest] = 0
    return left


def compression_of(model: KerasModel) -> dict[str, Shared]:
    """Return each kernel's shared values, as they stand in it."""
    return {name: as_shared(np.asarray(kernel)) for name, kernel in kernels_of(model).items()}


def compressed_megabytes(model: KerasModel) -> float:
    """Return how many MB (10⁶ bytes) a compressed model takes: kernels Huffman-coded, and the rest.

    Example:
        >>> compressed_megabytes(load("saved_models/small.training/model.keras").model)
        0.004
    """
    kernels = kernels_of(model).values()
    rest = sum(math.prod(weight.shape) for weight in weights_of(model)) - sum(
        math.prod(kernel.shape) for kernel in kernels
    )
    return sum(code.bits for code in compression_of(model).values()) / 8e6 + megabytes_of(rest)


@contextlib.contextmanager
def _constrained(
    kernels: Mapping[str, Any], constraints: Mapping[str, Constraint]
) -> Iterator[None]:
    """Let the optimizer apply constraints to kernels after each step, for as long as this lasts."""
    before = {name: kernel.constraint for name, kernel in kernels.items()}
    for name, kernel in kernels.items():
        kernel.constraint = constraints[name]
    try:
        yield
    finally:
        for name, kernel in kernels.items():
            kernel.constraint = before[name]


def _zeros_kept(weights: np.ndarray) -> Constraint:
    """Return what keeps zeros zero."""
    left = tf.constant((weights != 0).astype(weights.dtype))
    return lambda kernel: tf.convert_to_tensor(kernel) * left


def _tied(code: Shared) -> Constraint:
    """Return what moves the members of a cluster together, and keeps zeros zero."""
    numbers = tf.constant(code.index.ravel(), tf.int32)
    some = tf.constant((np.arange(len(code.codebook)) > 0).astype(np.float32))

    def tied(kernel: Any) -> Any:
        flat = tf.reshape(tf.convert_to_tensor(kernel), [-1])
        means = tf.math.unsorted_segment_mean(flat, numbers, len(code.codebook)) * some
        return tf.reshape(tf.gather(means, numbers), code.index.shape)

    return tied
