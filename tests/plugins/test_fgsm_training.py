"""FGSM training: its step, and the end of a training that overfits catastrophically."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from support import InMemory, small_classifier
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.testing import ConstantClassifier, LinearClassifier, grey_images
from tfrobust.training import Trainer, TrainingOptions
from tfrobust_adversarial_training.overfitting import collapsed, overfitting_check

SEEDS = image_seeds(3, 11)


def fgsm_training(**options):
    return create("defenses", "fgsm_training", **options)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_its_step_is_that_of_fgsm_from_a_point_of_the_ball(norm):
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    found = fgsm_training(eps=0.08, norm=norm).one_step()(classifier, images, labels, SEEDS)
    start = images + ball(norm).draw(SEEDS, images.shape[1:], 0.08)
    step = create("attacks", "fgsm", eps=1.25 * 0.08, norm=norm)
    there = step(classifier, start, labels, seed=SEEDS)
    expected = ball(norm).project(there, ball(norm).region(images, 0.08))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert ball(norm).distance(found, images).numpy().max() <= 0.08 + 1e-6
    assert (np.abs(found - images) > 0.07).mean() > 0.5 or norm == "l2"


def test_the_start_is_uniform_in_the_ball_and_follows_the_seed():
    classifier = ConstantClassifier()  # has no gradient: the start is all there is
    images, labels = grey_images(classifier, 64)
    perturb = fgsm_training(eps=0.1).one_step()
    moved = [perturb(classifier, images, labels, image_seeds(s, 64)) - images for s in (1, 1, 2)]
    np.testing.assert_array_equal(moved[0], moved[1])
    assert np.abs(moved[0] - moved[2]).max() > 0.01
    shares = np.histogram(moved[0], bins=4, range=(-0.1, 0.1))[0] / moved[0].numpy().size
    np.testing.assert_allclose(shares, 0.25, atol=0.03)


@pytest.mark.parametrize(
    ("before", "now", "is_one"),
    [
        ((0.5, 0.6), (0.0, 0.9), True),
        ((0.5, 0.6), (0.31, 0.9), False),  # not far enough
        ((0.5, 0.6), (0.1, 0.1), False),  # the network forgot everything
        ((0.1, 0.2), (0.5, 0.6), False),
    ],
)
def test_a_collapse_is_a_fall_under_pgd_alone(before, now, is_one):
    logs = [
        dict(zip(("pgd_accuracy", "fgsm_accuracy"), each, strict=True)) for each in (before, now)
    ]
    assert collapsed(*logs, 0.2) is is_one


def test_a_training_ends_before_the_epoch_in_which_pgd_breaks_it():
    """From the fourth epoch on the strong attack turns the images round, and labels with them."""
    spoil, told, seen = tf.Variable(False), [], []

    class Spoil(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            spoil.assign(epoch >= 3)

        def on_epoch_end(self, epoch, logs=None):
            seen.append([np.array(weight) for weight in self.model.get_weights()])

    def weak(classifier, images, labels, seeds):
        return images

    def strong(classifier, images, labels, seeds):
        return tf.where(spoil, 1 - images, images)

    options = TrainingOptions(epochs=9, batch_size=16, validation=0.0, learning_rate=0.05)
    classifier = small_classifier()
    history = Trainer(options, callbacks=[Spoil()], say=told.append).fit(
        classifier, InMemory(count=64), check=overfitting_check(strong, weak, count=30, drop=0.2)
    )
    assert len(history) == 4
    assert history[2]["pgd_accuracy"] == history[2]["fgsm_accuracy"] > 0.5
    assert history[3]["pgd_accuracy"] < history[2]["pgd_accuracy"] - 0.2
    assert history[3]["fgsm_accuracy"] > history[3]["pgd_accuracy"] + 0.2
    assert all(map(np.array_equal, classifier.model.get_weights(), seen[2]))
    (line,) = told
    assert line.startswith("catastrophic overfitting in epoch 4: under PGD accuracy fell from ")
    assert line.endswith("under FGSM; training ends, with the weights of epoch 3")


def test_validation_is_under_pgd_and_the_check_may_be_left_out():
    given = {}

    class Watching(Trainer):
        def fit(self, *_, **told):
            given.update(told)
            return []

    classifier = small_classifier()
    images, labels = grey_images(classifier, 11)
    fgsm_training(eps=0.05, pgd_steps=2, checked=0).apply(classifier, InMemory(), Watching())
    assert given["check"] is None
    pgd = create("attacks", "pgd", eps=0.05, steps=2, early_stop=False)
    np.testing.assert_array_equal(
        given["validate_on"](classifier, tf.constant(images), labels, SEEDS),
        pgd(classifier, tf.constant(images), labels, seed=SEEDS),
    )
    fgsm_training().apply(classifier, InMemory(), Watching())
    assert given["check"] is not None


@pytest.mark.parametrize(
    "options", [{"eps": -1}, {"step": 0}, {"step": 2.5}, {"drop": 0}, {"checked": -1},
                {"pgd_steps": 0}, {"norm": "l1"}], ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=f"fgsm_training: {next(iter(options))}: .*received"):
        fgsm_training(**options)


def test_a_budget_beyond_all_images_is_refused_before_training():
    with pytest.raises(UsageError, match="eps: no two images of shape 4×4×1"):
        fgsm_training(eps=3).check(small_classifier(), InMemory())
