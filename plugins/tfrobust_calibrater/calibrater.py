"""The calibrater: an adversarial attack run backwards, learned by a network a tenth as large.

min over θ of E_{x,y} L(f(G_θ(x)), y),  f frozen;  L = 1 − softmax(f)[y], or cross-entropy

Ye, Tan, Xu, Wang, Bao & Ma, "Brain-inspired reverse adversarial examples" (2019), algorithm 1 and
section 4.1. Departures: those of `generator` and `meaning`; if validation images are held out, the
weights are those of the last epoch with the highest validation accuracy.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import parameters
from tfrobust.data.names import reshifted
from tfrobust.data.reading import arrays
from tfrobust.defense import NOTHING, Changes, Defended, Defense, Stage
from tfrobust.errors import UsageError
from tfrobust.options import option, plugin
from tfrobust.scenario import Scenario
from tfrobust.training.task import cross_entropy
from tfrobust.training.trainer import Trainer
from tfrobust.types import KerasModel, Labels, Logits
from tfrobust_calibrater.calibrated import Calibrated
from tfrobust_calibrater.generator import Merge, Size, generator, size_for
from tfrobust_calibrater.meaning import meaning


@plugin
class Calibrater(Defense):
    """Moves images towards what the classifier behind it knows."""

    stage: ClassVar[Stage] = Stage.AUXILIARY
    undone_by: ClassVar[Changes] = NOTHING

    merge: Merge = option(
        "how to merge the perturbation into the image; factor: x ⊙ G(x), uncut, as in the paper",
        default="multiply",
    )
    loss: Literal["true_class", "cross_entropy"] = option(
        "1 − probability of the true class, or its negative logarithm", default="true_class"
    )
    size_ratio: float = option(
        "number of parameters divided by the classifier's; sets `base`, `channels` and `blocks`",
        default=0.1,
        gt=0,
        le=10,
    )
    base: int | None = option(
        "filters of the first convolution (the next have 2 and 4 times as many); none: automatic",
        default=None,
        ge=1,
    )
    channels: int | None = option(
        "channels inside a residual block; none: automatic", default=None, ge=1
    )
    blocks: int | None = option("number of residual blocks; none: automatic", default=None, ge=1)
    use: Literal["forwards", "backwards"] = option(
        "forwards, or backwards: an attack with the opposite sign",
        default="forwards",
    )
    shift: str | None = option(
        "scene to learn, such as b2 or fog.3; none: the scenario's", default=None
    )
    epochs: int | None = option(
        "epochs of its own training; none: those of the training", default=None, ge=0
    )
    learning_rate: float = option(
        "learning rate of its own training, with Adam", default=2e-4, gt=0
    )
    schedule: Literal["constant", "cosine", "quarters"] = option(
        "learning rate schedule; quarters: ÷ 2, 4 and 10 after each quarter, as in the paper",
        default="quarters",
    )
    meaning_images: int = option(
        "test images on which to measure what its perturbation means; 0: none", default=0, ge=0
    )

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Projected gradient descent through the calibrater; see `Defense`."""
        return descent(
            "the calibrater has gradients: the attack goes through it",
            "Tramèr et al. 2020",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse a classifier without gradients and an unknown shift; see `Defense`.

        Raises:
            UsageError: says which.
        """
        if not classifier.differentiable:
            raise UsageError(
                "calibrater: expected a classifier with gradients, which it learns from"
            )
        self._scene(scenario)

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a calibrater before the classifier, which stays as it is; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        self.check(classifier, scenario)
        with trainer.strategy.scope():
            size, seed = self.size(classifier), trainer.options.seed
            model = generator(classifier.image_shape, size, self.merge, seed=seed)
        calibrated = Calibrated(classifier, model)
        own = trainer.altered(
            epochs=trainer.options.epochs if self.epochs is None else self.epochs,
            optimizer="adam",
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            weight_decay=0.0,
            target=None,
        )
        loss = cross_entropy if self.loss == "cross_entropy" else one_less_true_class
        own.fit(calibrated, self._scene(scenario), loss=loss)
        return Defended(self.restore(classifier, model), self._found(classifier, model, scenario))

    def restore(self, classifier: Classifier, model: KerasModel) -> Classifier:
        """Put a trained calibrater before a classifier; see `Defense`."""
        return Calibrated(classifier, model, backwards=self.use == "backwards")

    def size(self, classifier: Classifier) -> Size:
        """Return the calibrater's size for a classifier."""
        chosen = size_for(self.size_ratio * parameters(classifier), classifier.image_shape[2])
        return Size(
            base=self.base or chosen.base,
            channels=self.channels or chosen.channels,
            blocks=self.blocks or chosen.blocks,
        )

    def _found(
        self, classifier: Classifier, model: KerasModel, scenario: Scenario
    ) -> dict[str, float]:
        if not self.meaning_images:
            return {}
        images, labels = arrays(self._scene(scenario), "test", self.meaning_images)
        return meaning(classifier, model, images, labels)

    def _scene(self, scenario: Scenario) -> Scenario:
        return scenario if self.shift is None else reshifted(scenario, self.shift)


def one_less_true_class(labels: Labels, logits: Logits) -> Any:
    """Return 1 − softmax(logits)[label] of each image, `(batch,)`."""
    return 1.0 - tf.gather(tf.nn.softmax(logits), labels, batch_dims=1)
