"""Adversarial patches: where they are pasted, and what they reach."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.learning import learned
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.universal.pasting import Place, drawn_places, pasted


def place(row, column, side, angle=0.0):
    return Place(*(tf.constant([value], tf.float32) for value in (row, column, angle, side)))


def test_an_upright_patch_of_whole_pixels_is_copied_and_nothing_else_changes():
    draw = np.random.default_rng(0)
    patch, images = draw.random((3, 3, 2), np.float32), draw.random((1, 7, 6, 2), np.float32)
    seen = pasted(tf.constant(patch), tf.constant(images), place(2, 3, 3), is_round=False).numpy()
    expected = images.copy()
    expected[0, 1:4, 2:5] = patch
    np.testing.assert_allclose(seen[0, 1:4, 2:5], patch, atol=1e-6)
    seen[0, 1:4, 2:5] = expected[0, 1:4, 2:5]
    assert np.array_equal(seen, expected)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_is_that_of_numpy(turns):
    patch = np.random.default_rng(1).random((4, 4, 1), np.float32)
    at = place(3.5, 3.5, 4, turns * math.pi / 2)
    seen = pasted(tf.constant(patch), tf.zeros((1, 8, 8, 1)), at, is_round=False).numpy()
    np.testing.assert_allclose(seen[0, 2:6, 2:6], np.rot90(patch, turns), atol=1e-5)


def test_a_round_patch_covers_the_inscribed_circle():
    white, black = tf.ones((20, 20, 1)), tf.zeros((1, 40, 40, 1))
    covered = pasted(white, black, place(19.5, 19.5, 20), is_round=True).numpy().sum()
    assert covered == pytest.approx(math.pi * 10**2, rel=0.03)


def test_a_drawn_circle_lies_inside_the_image_and_reaches_every_wall():
    seeds = tf.constant(np.random.default_rng(2).integers(0, 2**31, (500, 2)), tf.int32)
    drawn = drawn_places(seeds, 20, 30, 8, smallest=0.5, max_angle=0.3)
    row, column, angle, side = (np.asarray(value) for value in drawn)
    edges = [row - (side - 1) / 2, column - (side - 1) / 2]
    assert min(edge.min() for edge in edges) >= -1e-4
    assert (row + (side - 1) / 2).max() == pytest.approx(19, abs=0.3)
    assert (column + (side - 1) / 2).max() == pytest.approx(29, abs=0.4)
    assert (edges[0].min(), edges[1].min()) == pytest.approx((0, 0), abs=0.4)
    assert (side.min(), side.max()) == pytest.approx((4, 8), abs=0.1)
    assert np.abs(angle).max() == pytest.approx(0.3, abs=0.01)


def test_a_patch_over_the_whole_image_is_the_one_that_a_linear_classifier_fears_most():
    """Upright and as large as the image, it is the image: black or white by the weights' signs."""
    classifier = LinearClassifier((6, 6, 1), 2, seed=3)
    images, labels = grey_images(classifier, 20)
    whole = create(
        "attacks", "adversarial_patch", size=1.0, shape="square", max_rotation=0, min_scale=1.0,
        target=1, passes=40, batch_size=20,
    )  # fmt: skip
    [patch] = learned(whole, classifier, images, labels).arrays.values()
    towards = tf.reshape(classifier.weights[:, 1] - classifier.weights[:, 0], (6, 6, 1)).numpy()
    assert np.array_equal(patch > 0.5, towards > 0)
    assert np.abs(patch - (towards > 0)).max() < 0.01
    crafted = run_attack(whole, classifier, images, labels)
    assert (clean_predictions(classifier, crafted.images) == 1).all()


def test_a_learned_patch_fools_other_images_at_other_places_and_grey_does_not(trained, digits):
    attack = create("attacks", "adversarial_patch", size=0.5, training_images=300, passes=6)
    ready = learned(attack, trained, digits["train"][0][:300], digits["train"][1][:300])
    images, labels = (part[:200] for part in digits["test"])
    grey = {"patch": np.full_like(ready.arrays["patch"], 0.5)}

    def left(one):
        crafted = run_attack(one, trained, images, labels)
        return (clean_predictions(trained, crafted.images) == labels).mean()

    assert left(ready) < left(dataclasses.replace(ready, arrays=grey)) - 0.2


def test_what_does_not_fit_is_refused(linear, tmp_path):
    classifier, images, labels = linear
    with pytest.raises(UsageError, match="target: expected a class from 0 to"):
        run_attack(create("attacks", "adversarial_patch", target=99), classifier, images, labels)
    small = create("attacks", "adversarial_patch", size=0.4, passes=1, file=tmp_path / "patch.npz")
    learned(small, classifier, images, labels)
    other = LinearClassifier((9, 9, 2), classifier.num_classes)
    with pytest.raises(UsageError, match=r"file: expected a patch \(4, 4, 2\); received: \(2, 2"):
        run_attack(small, other, *grey_images(other))
    with pytest.raises(UsageError, match=r"file: learned with size=0\.4; expected size=0\.8"):
        run_attack(dataclasses.replace(small, size=0.8), classifier, images, labels)
