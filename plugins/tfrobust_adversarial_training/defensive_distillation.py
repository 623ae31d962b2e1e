"""Defensive distillation: a student learns a teacher's softened outputs.

teacher: min CE(softmax(g(x) / T), y);  student: min CE(softmax(f(x) / T), softmax(g(x) / T))

Deployed at temperature 1: the logits f(x) are not divided any more, and are about T times as far
apart as an ordinary network's.

Papernot, McDaniel, Wu, Jha & Swami, "Distillation as a defense to adversarial perturbations against
deep neural networks" (2016). Threat: attacks that follow the gradient of the softmax. It masks that
gradient, which rounds to zero, and makes nothing robust: an attacker who divides the logits by T,
or uses logits instead of probabilities, breaks it like any other network (Carlini & Wagner 2017).
There is no attack in it: the best epoch is that of the highest accuracy on clean validation images.
Student and weights are in training mode, the teacher answers in inference mode. Departures: the
teacher starts from the student's own weights, so that a pretrained network stays one.
"""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.adaptive import AdaptiveAttack, descent
from tfrobust.classifier import Classifier
from tfrobust.classifiers.keras.classifier import copied
from tfrobust.defense import NEW_WEIGHTS, Changes, Defended, Defense, Stage
from tfrobust.options import option, plugin
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.scenario import Scenario
from tfrobust.training.task import Objective, TrainingTask, cross_entropy
from tfrobust.training.trainer import Trainer
from tfrobust.types import Images, Labels, Logits


@plugin
class DefensiveDistillation(Defense):
    """Trains a teacher, and then the classifier on its softened outputs.

    Example:
        >>> distilled = create("defenses", "defensive_distillation", temperature=20.0)
        >>> train(create("models", "lenet"), scenario, Trainer(), [distilled])
    """

    stage: ClassVar[Stage] = Stage.TRAINING
    undone_by: ClassVar[Changes] = NEW_WEIGHTS

    temperature: float = option("T: divides the logits in training", default=20.0, ge=1)

    @property
    def adaptive(self) -> tuple[AdaptiveAttack, ...]:
        """Ascent on the margin, which does not saturate; see `Defense`."""
        return descent(
            "the margin of the logits does not saturate as the softmax does",
            "Carlini & Wagner 2017",
            loss="margin",
        )

    def check(self, classifier: Classifier, scenario: Scenario) -> None:
        """Refuse what shows no Keras model, of which the teacher is a copy; see `Defense`.

        Raises:
            UsageError: says so.
        """
        check_tunable(classifier, "defensive_distillation")

    def apply(self, classifier: Classifier, scenario: Scenario, trainer: Trainer) -> Defended:
        """Train a teacher, and `classifier` on what it says; see `Defense`.

        Raises:
            UsageError: as `check` does.
        """
        student = check_tunable(classifier, "defensive_distillation")
        with trainer.strategy.scope():
            teacher = copied(student)
        trainer.fit(teacher, scenario, TrainingTask(loss=self.loss))
        imitation = TrainingTask(loss=self.loss, objective=self.objective(teacher))
        trainer.fit(student, scenario, imitation)
        return Defended(student)

    def loss(self, labels: Labels, logits: Logits) -> Any:
        """Return CE(softmax(logits / T), label) of each image, `(batch,)`."""
        return cross_entropy(labels, logits / self.temperature)

    def objective(self, teacher: Classifier) -> Objective:
        """Return what the student lowers: CE between its softened answers and the teacher's."""

        def objective(student: Any, images: Images, _: Any, labels: Labels) -> tuple[Any, Any]:
            soft = tf.stop_gradient(tf.nn.softmax(teacher(images) / self.temperature))
            logits = student.logits_in_training(images)
            losses = tf.nn.softmax_cross_entropy_with_logits(soft, logits / self.temperature)
            return losses, logits

        return objective
