"""FMN and FAB find the corner of two boundaries, where projections onto either end beside it."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.norms.distances import distances
from tfrobust.registry import create
from tfrobust_attacks.minimum_norm.fmn_schedule import classes_tried, schedule

# What the runs before left of the corner's least distance: 1.055 and 1.0066.
ATTACKS = [("fmn", {"steps": 100}), ("fab_t", {"steps": 100, "target_classes": 1})]


class Corner(Classifier):
    """Class 1 where both of two linear functions of the image are positive.

    The functions have unit gradients of the given angle, and fall short by 0.1 in a grey image.
    """

    def __init__(self, angle):
        draw = np.random.default_rng(0).normal(size=(48, 2))
        first, across = np.linalg.qr(draw)[0].T
        sides = np.stack([first, np.cos(angle) * first + np.sin(angle) * across], axis=1)
        self.sides = tf.constant(sides, tf.float32)
        super().__init__(image_shape=(4, 4, 3), num_classes=2)

    def __call__(self, images):
        rises = tf.reshape(images - 0.5, (-1, 48)) @ self.sides - 0.1
        lead = tf.reduce_min(rises, axis=1)
        return tf.stack([tf.zeros_like(lead), lead], axis=1)


@pytest.mark.parametrize(("name", "options"), ATTACKS)
def test_the_corner_of_two_boundaries_is_found_within_half_a_percent(name, options):
    angle = 1.0
    classifier = Corner(angle)
    images, labels = np.full((2, 4, 4, 3), 0.5, np.float32), np.zeros(2, np.int64)
    attack = create("attacks", name, norm="l2", **options)
    crafted = run_attack(attack, classifier, images, labels).images
    assert (clean_predictions(classifier, crafted) == 1).all()
    least = 0.1 / np.cos(angle / 2)
    assert distances(images, crafted)["l2"] == pytest.approx([least] * 2, rel=5e-3)


def test_a_schedule_divides_the_steps_among_runs():
    assert [classes_tried(5, steps) for steps in (100, 20, 8)] == [5, 2, 0]
    divided = schedule(100, 0.05, 1.0, 5)
    assert np.flatnonzero(divided.clean).tolist() == [0, 12, 24, 36, 48]
    assert np.flatnonzero(divided.best).tolist() == [60]
    assert divided.rival.numpy()[[0, 59, 60, 99]].tolist() == [0, 4, -1, -1]
    single = schedule(100, 0.05, 1.0, 0)
    assert (single.rival.numpy() == -1).all()
    assert np.isclose(single.gamma[0], 0.05)
