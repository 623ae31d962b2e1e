"""Attacks made of attacks: each later one meets only what is still standing."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifier import Classifier
from tfrobust.engine.loop import blend
from tfrobust.engine.losses import is_adversarial
from tfrobust.norms import ball
from tfrobust.norms.distances import within_budget
from tfrobust.types import Flags, Images, Labels


class Ensemble(Attack):
    """Several attacks in turn, within one budget; the first to break an image has broken it.

    A subclass names its `attacks`. `tfrobust.run_attack` takes the images that fell out of the
    batches between the parts; called directly, every part sees every image, to the same effect.
    An image that all parts fail on, or that was misclassified before, comes back unchanged.
    """

    @abc.abstractmethod
    def attacks(self) -> Sequence[Attack]:
        """Return the attacks in their order, built for this budget."""

    @property
    def needs_boxes(self) -> bool:
        """Whether any of the parts does."""
        return super().needs_boxes or any(part.needs_boxes for part in self.attacks())

    def check(self, classifier: Classifier) -> None:
        """Refuse what any of the parts refuses."""
        super().check(classifier)
        for part in self.attacks():
            part.check(classifier)

    def __call__(
        self, classifier: Classifier, images: Images, labels: Labels, *, seed: Any
    ) -> Images:
        """Return adversarial images; see `Attack`."""
        found = images
        broken = is_adversarial(classifier(images), labels, targeted=False)
        for part in self.attacks():
            tried = part(classifier, images, labels, seed=seed)
            fooled = is_adversarial(classifier(tried), labels, targeted=False)
            first = fooled & ~broken & self._within(tried, images)
            found = blend(first, tried, found)
            broken |= first
        return tf.convert_to_tensor(found)

    def _within(self, tried: Images, images: Images) -> Flags:
        if self.threat.norm is None:
            return tf.fill(tf.shape(images)[:1], True)
        return within_budget(ball(self.threat.norm).distance(tried, images), self.budget)
