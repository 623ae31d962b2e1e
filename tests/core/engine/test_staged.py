"""Noise that grows by generations."""

from typing import ClassVar

import numpy as np
import tensorflow as tf

from tfrobust.attack import Strength, Threat
from tfrobust.engine.run import run_attack
from tfrobust.engine.staged import GrowingAttack, grown_together, run_stages
from tfrobust.options import option, plugin
from tfrobust.testing import LinearClassifier, grey_images


@plugin
class Fading(GrowingAttack):
    """Darkens every pixel a little, again and again."""

    strength: ClassVar[Strength] = Strength("rounds", "↓", "rounds of fading")

    rounds: int = option("how often", default=1, ge=0)
    share: float = option("of brightness that stays", default=0.5, ge=0, le=1)

    @property
    def threat(self):
        return Threat("none", None)

    def stages(self, images, counts, *, seed):
        return tf.stack([images * self.share**count for count in counts])


def test_the_option_that_counts_generations_is_the_one_that_the_attack_declares():
    attacks = [Fading(rounds=3), Fading(rounds=1, share=0.9), Fading(rounds=2)]
    groups = grown_together(attacks)
    assert groups == [[Fading(rounds=2), Fading(rounds=3)], [Fading(rounds=1, share=0.9)]]
    classifier = LinearClassifier()
    images, labels = grey_images(classifier, 4)
    for attack, stage in zip(
        groups[0], run_stages(groups[0], classifier, images, labels), strict=True
    ):
        np.testing.assert_array_equal(stage.images, images * 0.5**attack.rounds)
        alone = run_attack(attack, classifier, images, labels)
        np.testing.assert_array_equal(alone.images, stage.images)
