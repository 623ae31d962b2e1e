"""TRADES and MART: their losses compared with plain NumPy, their passes, their inner ascent."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import noise, small_classifier
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust.training.steps import Steps
from tfrobust.training.task import TrainingTask
from tfrobust_adversarial_training.divergence import divergence, divergence_slope

DRAW = np.random.default_rng(5)
LOGITS, OTHERS = (DRAW.normal(0, 3, (6, 4)).astype(np.float32) for _ in range(2))
LABELS = np.array([0, 1, 2, 3, 0, 1])


def defense(name, **options):
    return create("defenses", name, **options)


def softmax(logits):
    raised = np.exp(logits.astype(np.float64))
    return raised / raised.sum(1, keepdims=True)


def kl(p, q):
    return (p * np.log(p / q)).sum(1)


class Answering:
    """A classifier that returns given answers, one for every pass."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def logits_in_training(self, images):
        return tf.convert_to_tensor(self.answers.pop(0))


def test_divergence_and_its_slope_are_those_of_the_formula():
    np.testing.assert_allclose(
        divergence(LOGITS, OTHERS), kl(softmax(LOGITS), softmax(OTHERS)), rtol=1e-4
    )
    given = tf.constant(OTHERS)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = divergence(LOGITS, given)
    np.testing.assert_allclose(
        divergence_slope(LOGITS, given), tape.gradient(value, given), atol=1e-6
    )
    assert np.isfinite(divergence(LOGITS * 1e4, OTHERS * 1e4)).all()


@pytest.mark.parametrize("beta", [0.0, 6.0])
def test_the_loss_of_trades_is_that_of_the_paper(beta):
    losses, logits = defense("trades", beta=beta).objective(
        Answering(LOGITS, OTHERS), "clean", "attacked", tf.constant(LABELS)
    )
    p, q = softmax(LOGITS), softmax(OTHERS)
    expected = -np.log(p[np.arange(6), LABELS]) + beta * kl(p, q)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_array_equal(logits, OTHERS)


def test_the_loss_of_mart_is_that_of_the_paper():
    losses, logits = defense("mart", weight=3).objective(
        Answering(LOGITS, OTHERS), "clean", "attacked", tf.constant(LABELS)
    )
    p, q, rows = softmax(LOGITS), softmax(OTHERS), np.arange(6)
    wrong = q.copy()
    wrong[rows, LABELS] = 0
    boosted = -np.log(q[rows, LABELS]) - np.log(1 - wrong.max(1))
    expected = boosted + 3 * kl(p, q) * (1 - p[rows, LABELS])
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    np.testing.assert_array_equal(logits, OTHERS)


def test_mart_stays_finite_where_a_network_is_sure_of_the_wrong_class():
    sure = tf.Variable([[0.0, 200.0, 0.0]])
    with tf.GradientTape() as tape:
        losses, _ = defense("mart").objective(
            Answering(sure, sure), "clean", "attacked", tf.constant([0])
        )
    assert float(losses[0]) == pytest.approx(400 - np.log(2), rel=1e-5)
    gradient = tape.gradient(losses, sure)
    np.testing.assert_allclose(gradient, [[-1.5, 2.0, -0.5]], atol=1e-5)


def test_a_step_of_trades_moves_the_weights_by_the_gradient_of_its_loss():
    images, labels = (tf.constant(array) for array in noise(0, 16))
    attacked = tf.clip_by_value(images + 0.1 * tf.sign(tf.sin(97.0 * images)), 0, 1)
    classifier, twin = small_classifier(), small_classifier()
    optimizer = keras.optimizers.SGD(0.5)
    optimizer.build(classifier.model.trainable_variables)
    trades = defense("trades", beta=4)
    steps = Steps(
        classifier,
        optimizer,
        tf.distribute.get_strategy(),
        TrainingTask(perturb=lambda *_: attacked, objective=trades.objective),
        16,
    )
    steps.train(images, labels, tf.range(16), tf.ones(16), tf.constant(0))
    weights = [variable.value for variable in twin.model.trainable_variables]
    with tf.GradientTape() as tape:
        p, q = (tf.nn.softmax(twin.model(batch)) for batch in (images, attacked))
        right = -tf.math.log(tf.gather(p, labels, batch_dims=1))
        loss = tf.reduce_mean(right + 4 * tf.reduce_sum(p * tf.math.log(p / q), 1))
    expected = [w - 0.5 * g for w, g in zip(weights, tape.gradient(loss, weights), strict=True)]
    for weight, wanted in zip(classifier.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["trades", "mart"])
def test_clean_and_attacked_images_are_normalised_separately_and_each_counts_once(name):
    layers = [keras.Input((2, 2, 1)), keras.layers.BatchNormalization(momentum=0.9),
              keras.layers.Flatten(), keras.layers.Dense(2)]  # fmt: skip
    classifier = KerasClassifier(keras.Sequential(layers))
    dark, bright = tf.fill((4, 2, 2, 1), 0.2), tf.fill((4, 2, 2, 1), 0.7)
    defense(name).objective(classifier, dark, bright, tf.zeros(4, tf.int64))
    moving = np.array(classifier.model.layers[0].moving_mean)
    np.testing.assert_allclose(moving, 0.9 * 0.1 * 0.2 + 0.1 * 0.7, rtol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_inner_ascent_ends_where_the_divergence_is_greatest(norm):
    """For two linear classes divergence grows in both directions of the line between them."""
    classifier = LinearClassifier((4, 4, 1), 2)
    images, _ = grey_images(classifier, 12)
    attack = defense("trades", eps=0.05, options={"norm": norm}).inner_attack()
    crafted = attack(classifier, images, None, seed=3)
    assert ball(norm).distance(crafted, images).numpy().max() <= 0.05 + 1e-6
    with tf.GradientTape() as tape:
        point = tf.constant(images)
        tape.watch(point)
        logits = classifier(point)
        lead = logits[:, 0] - logits[:, 1]
    way = ball(norm).steepest(tape.gradient(lead, point))
    ends = np.stack(
        [divergence(logits, classifier(images + sign * 0.05 * way)).numpy() for sign in (-1, 1)]
    )
    reached = divergence(logits, classifier(crafted)).numpy()
    assert np.isclose(reached, ends, rtol=1e-3).any(0).all()


def test_the_inner_ascent_starts_near_the_image_and_follows_its_seed():
    classifier = LinearClassifier((4, 4, 1), 3)
    images, _ = grey_images(classifier, 8)
    attack = defense("trades", eps=0.1, steps=1, options={"step_size": 1e-9}).inner_attack()
    seeds = image_seeds(7, 8)
    start = attack(classifier, images, None, seed=seeds).numpy() - images
    assert start.std() == pytest.approx(1e-3, rel=0.2)
    reversed_ = attack(classifier, images[::-1], None, seed=seeds[::-1]).numpy()[::-1] - images
    np.testing.assert_allclose(start, reversed_, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("trades", {"options": {"nrm": "l2"}}, "trades: divergence has no option 'nrm'"),
        ("trades", {"options": {"norm": "l1"}}, "trades: divergence: norm"),
        ("trades", {"attack": "divergense"}, "no plugin attacks/divergense"),
        ("trades", {"attack": "box_blur"}, "trades: attack: expected an untargeted attack"),
        ("mart", {"attack": "divergence"}, "no plugin attacks/divergence"),
        ("mart", {"attack": "pgd", "options": {"targeted": True}}, "mart: attack: expected"),
        ("mart", {"eps": 12}, "pgd: eps: no two images"),
        ("trades", {"eps": 12}, "eps: no two images"),
    ],
    ids=str,
)
def test_inner_attacks_that_no_step_can_run_are_refused_before_training(name, options, words):
    classifier = small_classifier((8, 8, 1), 10)
    with pytest.raises(UsageError, match=words) as refusal:
        defense(name, **options).check(classifier, create("scenarios", "digits"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "options"), [("trades", {"beta": -1}), ("mart", {"weight": -1})])
def test_weights_below_zero_are_refused(name, options):
    with pytest.raises(UsageError, match="greater than or equal to 0"):
        defense(name, **options)
