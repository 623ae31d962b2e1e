"""MagNet: an auto-encoder of clean images moves every image towards them, and tells how far it was.

f(x) → f(A(x)),  A = argmin E ‖A(x + σ n) − x‖²,  n ~ N(0, 1), x a training image

Beside the logits stand what the detector `magnet_detector` looks at: the reconstruction error
‖x − A(x)‖ and the divergence JSD(softmax(f(x) / T), softmax(f(A(x)) / T)).

Meng & Chen, "MagNet: a two-pronged defense against adversarial examples" (2017). Threat: an
attacker who does not know of it, or who knows it but not which of several auto-encoders is used.
Broken by: Carlini & Wagner, "MagNet and 'Efficient defenses against adversarial attacks' are not
robust to adversarial examples" (2017), who attack through auto-encoders. The auto-encoder has right
gradients, which every white-box attack follows: there is no surrogate.
Departures: one auto-encoder, the same for the reformer and both detectors, where the paper draws
one of several; Carlini & Wagner break the draw by attacking the mean of several. It is chosen after
the epoch with the best validation accuracy of the classifier behind it.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.random import normal
from tfrobust.scenario import Scenario
from tfrobust.training.task import TrainingTask
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, KerasModel, Labels, Logits, PerImage, Seeds
from tfrobust_transformations.reformed import Activation, ErrorNorm, Reformed, auto_encoder


@plugin
class Magnet(Defense):
    """Shows the classifier what an auto-encoder makes of each image."""

    stage: ClassVar[Stage] = Stage.AUXILIARY
    undone_by: ClassVar[Changes] = NOTHING

    filters: int = option("of each inner convolution of the auto-encoder", default=3, ge=1)
    pooling: bool = option(
        "halve the image inside, as the paper's for MNIST; else as its for CIFAR-10",
        default=False,
    )
    activation: Activation = option("of the inner convolutions", default="sigmoid")
    noise: float = option("σ of the noise on training images", default=0.1, ge=0, le=1)
    epochs: int | None = option(
        "epochs of its own training, 100 in the paper; none: those of the training",
        default=None,
        ge=0,
    )
    learning_rate: float = option("of its own training, with Adam", default=1e-3, gt=0)
    temperature: float = option("T of the divergence", default=10.0, gt=0)
    error: ErrorNorm = option("norm of the reconstruction error", default="l1")

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the auto-encoder; see `Defense`."""
        return descent(
            "the auto-encoder has gradients: the attack goes through it",
            "Carlini & Wagner 2017",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse images that cannot be halved; see `Defense`.

        Raises:
            UsageError: says which sides they have.
        """
        height, width, _ = classifier.image_shape
        if self.pooling and (height % 2 or width % 2):
            raise UsageError(
                f"magnet: pooling: expected images of even sides; received: {height} × {width}; "
                "leave pooling out"
            )

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train an auto-encoder before the classifier, which stays as it is; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            model = auto_encoder(
                classifier.image_shape, self.filters, self.activation, pooling=self.pooling
            )
        own = trainer.altered(
            epochs=trainer.options.epochs if self.epochs is None else self.epochs,
            optimizer="adam",
            learning_rate=self.learning_rate,
            schedule="constant",
            weight_decay=0.0,
            target=None,
        )
        reformed = self.restore(classifier, model)
        task = TrainingTask(perturb=self._noisy, objective=reconstruction, validate_on=_unchanged)
        own.fit(reformed, scenario, task)
        return Defended(reformed)

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Put a trained auto-encoder before a classifier; see `Defense`."""
        return Reformed(classifier, model, self.temperature, self.error)

    def _noisy(self, _: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Images:
        noise = normal(seeds, tf.shape(images)[1:])
        return tf.clip_by_value(images + self.noise * noise, 0.0, 1.0)


def reconstruction(
    reformed: Any, images: Images, noisy: Images, labels: Labels
) -> tuple[PerImage, Logits]:
    """Return the mean squared error of what is made of noisy images, and the logits of that."""
    made = reformed.reform(noisy, training=True)
    losses = tf.reduce_mean(tf.square(made - images), axis=(1, 2, 3))
    return losses, tf.stop_gradient(reformed.inner(made))


def _unchanged(_: Classifier, images: Images, labels: Labels, seeds: Seeds) -> Images:
    return images
