"""What a gradient attack climbs."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.losses import ascend, is_adversarial, log_odds
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
    found, verdict = ascend(classifier, images, labels, targeted=targeted)
    assert found.numpy() == pytest.approx(sign * tape.gradient(odds, images).numpy(), abs=1e-6)
    parallel = (tf.math.l2_normalize(g, (1, 2, 3)) for g in (found, tape.gradient(entropy, images)))
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
