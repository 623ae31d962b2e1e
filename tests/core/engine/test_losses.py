"""The losses that gradient attacks maximise."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.engine.gradients import class_gradients, loss_gradient
from tfrobust.engine.losses import (
    clearly_adversarial,
    difference_of_logits_ratio,
    is_adversarial,
    log_odds,
    loss_and_slope,
    margin,
    targeted_difference_of_logits_ratio,
)
from tfrobust.testing import small_classifier


def test_cross_entropy_is_softplus_of_the_log_odds():
    logits = tf.random.stateless_normal((20, 5), (0, 0), stddev=3.0)
    labels = tf.range(20) % 5
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    assert tf.math.softplus(log_odds(logits, labels)).numpy() == pytest.approx(
        entropy.numpy(), rel=1e-5
    )


@pytest.mark.parametrize("targeted", [False, True])
def test_the_ascent_is_the_gradient_of_the_log_odds_and_parallel_to_cross_entropys(targeted):
    classifier = small_classifier()
    images = tf.random.stateless_uniform((9, 6, 5, 2), (0, 0))
    labels = tf.range(9, dtype=tf.int64) % 4
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        logits = classifier(images)
        odds = log_odds(logits, labels)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    sign = -1.0 if targeted else 1.0
    gradient, verdict = loss_gradient(classifier, images, labels, targeted=targeted)
    assert gradient.numpy() == pytest.approx(sign * tape.gradient(odds, images).numpy(), abs=1e-6)
    parallel = (
        tf.math.l2_normalize(g, (1, 2, 3)) for g in (gradient, tape.gradient(entropy, images))
    )
    cosine = tf.reduce_sum(tf.multiply(*parallel), (1, 2, 3)).numpy()
    assert cosine == pytest.approx(np.full(9, sign), abs=1e-5)
    expected = is_adversarial(logits, labels, targeted=targeted)
    assert np.array_equal(verdict, expected)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6])
def test_the_log_odds_stay_finite_and_keep_a_gradient_however_sure_a_network_is(scale):
    logits = tf.constant([[3.0, 1.0, -2.0]]) * scale
    with tf.GradientTape() as tape:
        tape.watch(logits)
        odds = log_odds(logits, tf.constant([0]))
    assert np.isfinite(odds).all()
    assert tape.gradient(odds, logits).numpy()[0, 0] == pytest.approx(-1.0)


def test_adversarial_means_the_target_or_not_the_label():
    logits, labels = tf.constant([[2.0, 1.0], [0.0, 1.0]]), tf.constant([0, 0], tf.int64)
    assert is_adversarial(logits, labels, targeted=False).numpy().tolist() == [False, True]
    assert is_adversarial(logits, labels, targeted=True).numpy().tolist() == [True, False]


LOSSES = {"ce": log_odds, "margin": margin, "dlr": difference_of_logits_ratio}


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_comes_with_its_derivative(loss, targeted, classes):
    logits = tf.random.stateless_normal((20, classes), (0, 0), stddev=3.0)
    labels = tf.range(20, dtype=tf.int64) % classes
    sign = -1.0 if targeted else 1.0
    with tf.GradientTape() as tape:
        tape.watch(logits)
        expected = sign * LOSSES[loss](logits, labels)
    value, slope = loss_and_slope(logits, labels, targeted=targeted, loss=loss)
    assert value.numpy() == pytest.approx(expected.numpy(), rel=1e-5, abs=1e-6)
    assert slope.numpy() == pytest.approx(tape.gradient(expected, logits).numpy(), abs=1e-5)


def test_the_ratio_does_not_depend_on_the_scale_of_the_logits():
    logits = tf.random.stateless_normal((20, 5), (0, 0))
    labels, targets = tf.range(20) % 5, (tf.range(20) + 1) % 5
    for loss in (
        lambda z: difference_of_logits_ratio(z, labels),
        lambda z: targeted_difference_of_logits_ratio(z, labels, targets),
    ):
        assert loss(1000.0 * logits).numpy() == pytest.approx(loss(logits).numpy(), rel=1e-4)


def test_the_targeted_ratio_is_the_lead_over_the_label_in_the_papers_unit():
    logits = tf.constant([[5.0, 3.0, 2.0, 1.0, 0.0]])
    ratio = targeted_difference_of_logits_ratio(logits, tf.constant([0]), tf.constant([2]))
    assert ratio.numpy() == pytest.approx([(2.0 - 5.0) / (5.0 - (2.0 + 1.0) / 2)])


def test_clearly_adversarial_is_adversarial_by_more_than_rounding():
    logits = tf.constant([[10.0, 10.0 + 2e-5], [10.0, 10.001], [10.001, 10.0]])
    labels = tf.zeros(3, tf.int64)
    assert clearly_adversarial(logits, labels, targeted=False).numpy().tolist() == [
        False,
        True,
        False,
    ]
    assert clearly_adversarial(logits, labels, targeted=True).numpy().tolist() == [
        False,
        False,
        True,
    ]


def test_several_gradients_of_one_forward_pass_are_those_of_several_passes():
    classifier = small_classifier()
    images = tf.random.stateless_uniform((5, 6, 5, 2), (0, 0))
    logits, gradients = class_gradients(classifier, images, lambda z: tf.eye(4)[:, None] + 0 * z)
    for k in range(4):
        with tf.GradientTape() as tape:
            tape.watch(images)
            own = classifier(images)[:, k]
        assert gradients[k].numpy() == pytest.approx(tape.gradient(own, images).numpy(), abs=1e-6)
    assert logits.shape == (5, 4)
