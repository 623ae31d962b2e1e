"""Attacks made of attacks: each one is run on the images that those before it left unbroken."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from types import FunctionType
from typing import Any, ClassVar

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import is_adversarial
from tfrobust.norms import ball
from tfrobust.norms.distances import within_budget
from tfrobust.options import refuse_former_names
from tfrobust.types import Flags, Images, Labels


class Ensemble(Attack):
    """Several attacks in turn, within one budget; the first to break an image has broken it.

    A subclass names its `attacks`. `tfrobust.run_attack` takes the broken images out of the
    batches between the attacks; called directly, every attack is run on every image, with the same
    result. Attacks that take starting points go on from those of the whole. An image that no attack
    breaks, or that was misclassified before, comes back unchanged.
    """

    takes_starts: ClassVar[bool] = True  # for the attacks that do

    def __init_subclass__(cls, **given: Any) -> None:
        """Refuse the method `parts` of an earlier release.

        Raises:
            PluginError: says what to write instead.
        """
        super().__init_subclass__(**given)
        refuse_former_names(cls, "an ensemble", {"parts": "`def attacks(self)`"}, FunctionType)

    @abc.abstractmethod
    def attacks(self) -> Sequence[Attack]:
        """Return the attacks in their order, built for this budget."""

    @property
    def needs_boxes(self) -> bool:
        """Whether any of the attacks does."""
        return super().needs_boxes or any(attack.needs_boxes for attack in self.attacks())

    def check(self, classifier: Classifier) -> None:
        """Refuse what any of the attacks refuses."""
        super().check(classifier)
        for attack in self.attacks():
            attack.check(classifier)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        crafted = images
        broken = is_adversarial(classifier(images), labels, targeted=False)
        for attack in self.attacks():
            candidates = attack(classifier, images, labels, seed=seed)
            fooled = is_adversarial(classifier(candidates), labels, targeted=False)
            first = fooled & ~broken & self._within_budget(candidates, images)
            crafted = blend(first, candidates, crafted)
            broken |= first
        return tf.convert_to_tensor(crafted)

    def _within_budget(self, candidates: Images, images: Images) -> Flags:
        if self.threat.norm is None:
            return tf.fill(tf.shape(images)[:1], True)
        return within_budget(ball(self.threat.norm).distance(candidates, images), self.budget)
