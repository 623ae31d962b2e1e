"""Parseval networks: layers with orthonormal rows, and sums that are convex.

after every step W ← (1 + β) W − β W Wᵀ W, and the weights of a sum are projected onto the simplex

Cissé, Bojanowski, Grave, Dauphin & Usunier, "Parseval networks: improving robustness to adversarial
examples" (2017). Threat: white-box; small changes in any norm, L2 above all. Each layer then makes
no difference longer in L2, so that the margin of the logits bounds what an attack needs. The
gradient is right, and helps an attack as it does on any network: against L∞ budgets that are usual
today it protects little by itself. The paper trains on adversarial images as well; so does `eps`,
for a later training would undo the rows. Departures: its inner attack is PGD and not FGSM; the rows
start orthonormal, and all of them are retracted, where the paper takes a part of them; batch
normalisation, which may stretch again, stays. The last layer is left free unless `last_layer`: with
a bounded one the logits cannot grow. `found` is the largest distance of a singular value from 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import keras

from tfrobust.adaptive import AdaptiveAttack, long_ascent
from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier, copied
from tfrobust.classifiers.keras.graph import calls, inlined, is_functional
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.defense import ANY_TRAINING, Changes, Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, KerasLayer, KerasModel, Labels, Seeds
from tfrobust_regularisation.convex import ConvexSum
from tfrobust_regularisation.orthogonal import (
    constrained_layers,
    departure,
    kernel_of,
    orthonormal,
    retracted,
    rows,
    scale_of,
)


@plugin
class Parseval(Defense):
    """Trains a network whose layers keep orthonormal rows.

    Example:
        >>> flat = create("defenses", "parseval", beta=0.0003)
        >>> train(create("models", "resnet"), scenario, Trainer(), [flat])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = ANY_TRAINING

    beta: float = option(
        "β: step of the retraction (the paper: 0.0003, over many more steps)",
        default=0.1,
        gt=0,
        le=0.5,
    )
    convex: bool = option("make the sums of residual blocks convex", default=True)
    last_layer: bool = option("constrain the layer that gives the logits too", default=False)
    eps: float = option(
        "L∞ budget of PGD on each batch, in pixel values; 0: train on clean images",
        default=0.0,
        ge=0,
        le=1,
    )
    steps: int = option("steps of that PGD", default=7, ge=1)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Long ascent from several starts: its gradients are right; see `Defense`."""
        return long_ascent(
            "its gradients are right: many steps from several starts",
            "Carlini et al. 2019",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what is no Keras 3 model of known layers, or has none to constrain.

        See `Defense`.

        Raises:
            UsageError: says which.
        """
        model = check_tunable(classifier, "parseval").model
        if keras_of(model) is not keras or not is_functional(model):
            raise UsageError(
                "parseval: expected a functional or sequential Keras 3 model; received: "
                f"{type(model).__name__} of {keras_of(model).__name__}; build it as one"
            )
        if not any(constrained_layers(model, last=self.last_layer)):
            raise UsageError(
                "parseval: expected a network with dense or convolutional layers before its last "
                "one; received: one without; take another, or last_layer=true"
            )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a copy of the classifier with constrained layers; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            network = copied(check_tunable(classifier, "parseval"))
            if self.convex:
                network = _with_convex_sums(network)
        layers = list(constrained_layers(network.model, last=self.last_layer))
        with _retracting(layers, self.beta):
            trainer.fit(network, scenario, perturb=self._attacked if self.eps else None)
        farthest = max(departure(rows(layer.kernel, scale_of(layer))) for layer in layers)
        return Defended(network, {"layers": len(layers), "departure": round(farthest, 4)})

    def _attacked(
        self, classifier: Classifier, images: Images, labels: Labels, seeds: Seeds
    ) -> Images:
        attack: Attack = create("attacks", "pgd", eps=self.eps, steps=self.steps, early_stop=False)
        return attack(classifier, images, labels, seed=seeds)


def _with_convex_sums(network: KerasClassifier) -> KerasClassifier:
    """Return a network of the same layers, with convex combinations instead of sums."""
    model: KerasModel = inlined(network.model)
    if not any(_adds(call.layer) for call in calls(model)):
        return network

    def replaced(layer: KerasLayer) -> Callable[..., Any]:
        if not _adds(layer):
            return layer
        combined = ConvexSum(name=f"{layer.name}_convex")
        return lambda *inputs, **_: combined(inputs[0] if len(inputs) == 1 else list(inputs))

    return KerasClassifier(
        inlined(model, replaced), class_names=network.class_names, stochastic=network.stochastic
    )


def _adds(layer: KerasLayer) -> bool:
    return isinstance(layer, keras.layers.Add) or type(layer).__name__ == "Add"


@contextlib.contextmanager
def _retracting(layers: list[KerasLayer], beta: float) -> Iterator[None]:
    """Start with orthonormal rows, and let the optimizer retract them after each step."""
    earlier = [layer.kernel.constraint for layer in layers]
    for layer in layers:
        scale = scale_of(layer)
        start = orthonormal(rows(layer.kernel, scale))
        layer.kernel.assign(kernel_of(start, scale, layer.kernel.shape))
        layer.kernel.constraint = _retraction(layer, beta)
    try:
        yield
    finally:
        for layer, constraint in zip(layers, earlier, strict=True):
            layer.kernel.constraint = constraint


def _retraction(layer: KerasLayer, beta: float) -> Callable[[Any], Any]:
    scale, shape = scale_of(layer), layer.kernel.shape
    return lambda kernel: kernel_of(retracted(rows(kernel, scale), beta), scale, shape)
