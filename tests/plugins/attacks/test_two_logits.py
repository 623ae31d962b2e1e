"""Where two classes meet at logits of zero, a verdict does not depend on the last bits."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.thinned import thinned
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.rounding import CLEAN_SIZES, size_of
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import CleanImages, audit_images
from tfrobust.registry import create
from tfrobust.testing import small_classifier

ATTACKS = {
    "deepfool": {},
    "ddn": {"steps": 40},
    "fmn": {"norm": "l2", "steps": 40},
    "cw_l2": {"steps": 60, "binary_search_steps": 3, "learning_rate": 0.05},
    "fab": {"steps": 10},
}


class Binary(Wrapped):
    """Two logits that are both near zero on the boundary: 0 and z, or −z and z."""

    def __init__(self, inner, least):
        super().__init__(inner, num_classes=2, class_names=("no", "yes"))
        self.least = tf.Variable(least)

    def __call__(self, images):
        logits = 50.0 * self.inner(images)
        z = logits[:, 1] - logits[:, 0]
        return tf.stack([self.least * z, z], axis=1)


@pytest.mark.parametrize("name", thinned(ATTACKS, one_in=2))
def test_images_on_the_boundary_count_in_a_batch_of_any_size(name):
    classifier = Binary(small_classifier(), 0.0)
    images = np.random.default_rng(0).uniform(0.3, 0.7, (40, *classifier.image_shape))
    images = images.astype(np.float32)
    attack = create("attacks", name, **ATTACKS[name])
    for least in (0.0, -1.0):  # of one trace
        classifier.least.assign(least)
        labels = clean_predictions(classifier, images)
        crafted = run_attack(attack, classifier, images, labels)
        for size in (1, 7, 40):
            clean = clean_predictions(classifier, images, batch_size=size)
            before = CleanImages(images, labels, clean)
            judged = audit_images(classifier, attack, before, crafted.images, batch_size=size)
            assert judged.success.mean() == 1.0, (least, size)


def test_the_size_of_two_logits_is_no_less_than_that_of_the_clean_ones():
    first, second = tf.constant([0.0, 3.0]), tf.constant([0.5, -1.0])
    assert size_of(first, second).numpy().tolist() == [0.5, 3.0]
    with CLEAN_SIZES.held(tf.constant([2.0, 2.0])):
        assert size_of(first, second).numpy().tolist() == [2.0, 3.0]
        assert size_of(first[:1], second[:1]).numpy().tolist() == [0.5], "other images"
