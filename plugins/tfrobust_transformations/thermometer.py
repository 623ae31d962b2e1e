"""Thermometer encoding: the network reads each pixel as a row of thresholds that it exceeds.

τ(x)_k = 1 where x ≥ k / l, else 0,  k = 1 … l − 1

Buckman, Roy, Raffel & Goodfellow, "Thermometer encoding: one hot way to resist adversarial
examples" (2018). Threat: a white-box attacker; the encoding has no gradient.
Broken by: Athalye, Carlini & Wagner, "Obfuscated gradients give a false sense of security" (2018),
by BPDA through a smooth encoding. The network is built here with that backward pass: its own
gradient is that of σ(10 (x − k / l)), which left fewer images unbroken than the authors'
min(max(x − k / l, 0), 1). So every white-box attack follows it, exports and stored networks carry
it, and there is no other surrogate.
The network is built again with l − 1 times the input channels, its other layers as they were, and
trained from the beginning: any Keras 3 network can be given the encoding.
Departures: the threshold 0, which every pixel exceeds, is left out. The authors' adversarial
training on encoded images is `--defense thermometer --defense pgd_training`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
import numpy as np

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.graph import is_functional
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.errors import UsageError, one_line
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.scenario import Scenario
from tfrobust.training.trainer import Trainer
from tfrobust.types import ImageShape, KerasModel

_SLOPE = 10.0  # of the smooth encoding, whose gradient is the network's


@plugin
class Thermometer(Defense):
    """Trains the network on pixels that are encoded by thresholds.

    Example:
        >>> encoded = train(create("models", "lenet"), create("scenarios", "digits"), Trainer(),
        ...                 [create("defenses", "thermometer", levels=8)])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    levels: int = option("values of a pixel that can be told apart", default=16, ge=2, le=256)

    @property
    def changes(self) -> Changes:
        """It begins with new weights."""
        return NEW_WEIGHTS

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the smooth encoding; see `Defense`."""
        return descent(
            "thresholds have no gradient: BPDA by a smooth encoding, built into the network",
            "Athalye, Carlini & Wagner 2018",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what is no Keras 3 network of known layers; see `Defense`.

        Raises:
            UsageError: says what it is.
        """
        model = check_tunable(classifier, "thermometer").model
        if keras_of(model) is not keras or not is_functional(model):
            raise UsageError(
                "thermometer: expected a functional or sequential Keras 3 model, to build it again "
                f"for encoded pixels; received: {type(model).__module__}.{type(model).__name__}"
            )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train the network again, from the beginning, on encoded pixels; see `Defense`.

        Raises:
            UsageError: as `check` does, or a layer cannot take encoded pixels.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            model = encoded(classifier.model, classifier.image_shape, self.levels)
        network = KerasClassifier(model, class_names=classifier.class_names)
        network = network.replace(stochastic=answers_differ(network))
        trainer.fit(network, scenario)
        return Defended(network)


def encoded(model: KerasModel, image_shape: ImageShape, levels: int) -> KerasModel:
    """Return a network of the same layers, with new weights, that reads encoded pixels.

    Args:
        model: functional or sequential, of Keras 3.
        image_shape: of its images.
        levels: of the encoding.

    Raises:
        UsageError: a layer cannot take encoded pixels.

    Example:
        >>> encoded(model, (28, 28, 1), 16).input_shape
        (None, 28, 28, 1)
    """
    height, width, channels = image_shape
    try:
        network = keras.models.clone_model(
            model, input_tensors=keras.Input((height, width, channels * (levels - 1)))
        )
        images = keras.Input(image_shape)
        return keras.Model(images, network(thermometer(images, levels)), name=model.name)
    except Exception as error:  # Keras raises anything where a layer cannot take the channels
        raise UsageError(
            f"thermometer: the network cannot read {channels * (levels - 1)} channels "
            f"({one_line(error)}); take another architecture, whose layers fit any number of them"
        ) from error


def thermometer(images: Any, levels: int) -> Any:
    """Return the encoding of images, `(batch, height, width, channels · (levels − 1))`.

    Made of Keras's own operations, so that a stored network needs no code of ours.

    Args:
        images: a tensor or symbolic tensor, `(batch, height, width, channels)`, in [0, 1].
        levels: l.
    """
    height, width, channels = images.shape[1:]
    thresholds = np.arange(1, levels, dtype=np.float32) / levels
    pixels = keras.ops.expand_dims(images, -1)
    hard = keras.ops.cast(keras.ops.greater_equal(pixels, thresholds), "float32")
    smooth = keras.ops.sigmoid(keras.ops.subtract(pixels, thresholds) * _SLOPE)
    code = keras.ops.add(smooth, keras.ops.stop_gradient(keras.ops.subtract(hard, smooth)))
    return keras.ops.reshape(code, (-1, height, width, channels * (levels - 1)))
