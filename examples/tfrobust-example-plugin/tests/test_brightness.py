import numpy as np
import pytest
import tensorflow as tf
from tfrobust.classifier import Classifier
from tfrobust.engine.run import run_attack
from tfrobust.testing import attack_checks

from tfrobust_example_plugin.brightness import Brightness


class LightOrDark(Classifier):
    """Class 1 where the mean pixel is above one half."""

    def __init__(self):
        super().__init__(image_shape=(4, 3, 1), num_classes=2)

    def __call__(self, images):
        light = tf.reduce_mean(images, (1, 2, 3)) - 0.5
        return tf.stack([-light, light], axis=1)


@pytest.mark.parametrize("check", attack_checks(), ids=lambda check: check.__name__)
def test_brightness_keeps_the_contract(check):
    check(Brightness(eps=0.1))


def test_it_finds_the_first_level_beyond_the_threshold_in_either_direction():
    images = np.ones((4, 4, 3, 1), np.float32)
    images *= np.reshape(np.array([0.475, 0.525, 0.2, 0.6], np.float32), (4, 1, 1, 1))
    labels = np.array([0, 1, 0, 0])  # the last one is wrong before the attack
    crafted = run_attack(Brightness(eps=0.1, step=0.01), LightOrDark(), images, labels).images
    np.testing.assert_allclose(
        (crafted - images)[:, 0, 0, 0], [0.03, -0.03, 0.0, 0.0], atol=1e-6, rtol=0
    )


def test_it_stops_at_its_budget():
    images = np.full((1, 4, 3, 1), 0.45, np.float32)
    labels = np.array([0])
    found = [
        run_attack(Brightness(eps=eps, step=0.02), LightOrDark(), images, labels).images.max()
        for eps in (0.04, 0.06)
    ]
    np.testing.assert_allclose(found, [0.45, 0.51], atol=1e-6, rtol=0)
