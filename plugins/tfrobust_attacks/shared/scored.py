"""Attacks that ask for scores alone: the options they share, and how an answer is judged."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.losses import LossName, is_adversarial, loss_and_slope
from tfrobust.options import option, plugin
from tfrobust.types import Flags, Images, Labels, Logits, PerImage


class Answer(NamedTuple):
    """What the logits of a query tell."""

    loss: PerImage
    fooled: Flags


@plugin
class ScoreAttack(Attack):
    """The options of an attack by scores, and the one question it asks."""

    queries: int = option("hard limit of forward passes per image", default=5000, ge=1)
    loss: LossName = option("loss to maximise: ce, margin (C&W) or dlr", default="margin")
    targeted: bool = option("reach a given class instead of leaving the true one", default=False)

    def ask(self, classifier: Classifier, images: Images, labels: Labels) -> Answer:
        """Classify images once, and judge the logits."""
        return self.judge(classifier(images), labels)

    def judge(self, logits: Logits, labels: Labels) -> Answer:
        """Return the loss of logits, and whether they are what the attack wants."""
        loss, _ = loss_and_slope(logits, labels, targeted=self.targeted, loss=self.loss)
        return Answer(loss, is_adversarial(logits, labels, targeted=self.targeted))


@plugin
class ScoreSearch(ScoreAttack):
    """A search within a ball, which may stop early or go on."""

    early_stop: bool = option("stop on an image once it is adversarial", default=True)

    def accepts(self, answer: Answer, loss: PerImage, done: Flags) -> Flags:
        """Return which candidates a random search takes.

        A higher loss, or the first adversarial image, whose cross-entropy may be lower. From an
        adversarial image it goes to another one only, and only without early stopping.

        Args:
            answer: what the candidates got, `(batch,)` each.
            loss: of the images before.
            done: whether those are adversarial.
        """
        rises = answer.loss > loss
        better = (rises | answer.fooled) & ~done
        return better if self.early_stop else better | (rises & answer.fooled)


def before_any(loss: PerImage, fooled: Flags) -> PerImage:
    """Return a loss that any start beats, even one worse than the clean image, unless it fools."""
    return tf.where(fooled, loss, -float("inf"))
