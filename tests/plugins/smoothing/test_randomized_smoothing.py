"""Randomized smoothing: the noise, the answers, what is trained, and its export."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.defense import Stage
from tfrobust.engine.victim import Surrogate, victim_of
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import defended, train
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_smoothing import smoothed
from tfrobust_smoothing.noise import Noise, deviation, laplacian
from tfrobust_smoothing.smoothed import Smoothed, log_mean, log_share, votes_of
from tfrobust_smoothing.training import AtNoise, adversarial, gaussian

DRAW = np.random.default_rng(4)
QUICK = TrainingOptions(epochs=1, batch_size=16)


def smoothing(**options):
    return create("defenses", "randomized_smoothing", **options)


def images(count=6):
    return tf.constant(np.random.default_rng(0).uniform(size=(count, 4, 4, 1)).astype(np.float32))


def softmax(logits):
    raised = np.exp(logits.astype(np.float64))
    return raised / raised.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_the_noise_has_the_distribution_of_its_name_and_scale(kind):
    drawn = Noise(kind, 0.3)((40_000,)).numpy()
    expected = stats.norm(scale=0.3) if kind == "gaussian" else stats.laplace(scale=0.3)
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-3
    assert drawn.std() == pytest.approx(deviation(kind, 0.3), rel=0.03)
    assert np.isfinite(laplacian(tf.constant([0.0, 1.0 - 2.0**-24]), 1.0)).all()


def test_the_answer_is_the_mean_softmax_or_the_share_of_votes_of_the_same_draws():
    draws = (DRAW.normal(0, 3, (40, 5, 4)) + np.array([0, 2, 4, -9])).astype(np.float32)
    votes = np.stack([np.bincount(row, minlength=4) for row in draws.argmax(2).T])
    assert np.allclose(log_mean(draws), np.log(softmax(draws).mean(0)), atol=1e-5)
    assert np.array_equal(votes_of(draws), votes)
    shares = log_share(votes, log_mean(draws)).numpy()
    assert np.allclose(shares[votes > 0], np.log(votes[votes > 0] / 40), atol=0.5 / 40)
    assert (votes == 0).any()
    assert (shares[votes == 0] < np.log(0.5 / 40)).all()
    for share, count in zip(shares, votes, strict=True):
        assert (count[share.argsort()] == np.sort(count)).all()
    assert (votes.sum(axis=1) == 40).all()


class Two(Classifier):
    """z = (0, w · x − b): half of the space each."""

    def __init__(self):
        super().__init__(image_shape=(4, 4, 1), num_classes=2)
        self.weights = tf.constant(DRAW.normal(size=(16, 1)).astype(np.float32))

    def margin(self, shown):
        return tf.reshape(shown, (-1, 16)) @ self.weights - 0.3

    def __call__(self, shown):
        margin = self.margin(shown)
        return tf.concat([tf.zeros_like(margin), margin], axis=1)


@pytest.mark.parametrize("wide", [False, True])
def test_a_linear_classifier_is_voted_for_as_often_as_the_normal_distribution_says(
    wide, monkeypatch
):
    if wide:
        monkeypatch.setattr(smoothed, "_WIDEST", 1)
    two = Two()
    smooth = Smoothed(two, Noise("gaussian", 0.5), 2000, vote="majority")
    share = tf.function(smooth.votes)(images())[:, 1].numpy() / 2000
    spread = 0.5 * np.linalg.norm(two.weights)
    expected = stats.norm.cdf(two.margin(images()).numpy()[:, 0] / spread)
    assert np.abs(share - expected).max() < 4 * 0.5 / np.sqrt(2000)


def test_an_attack_follows_the_mean_of_a_majority_and_draws_no_more_than_a_call_does():
    majority = defended(
        small_classifier(), [smoothing(training="off", vote="majority")], InMemory(), Trainer()
    )
    assert not majority.differentiable
    victim, calls = victim_of(create("attacks", "pgd"), majority)
    assert isinstance(victim, Surrogate)
    assert (calls, majority.passes) == (1, 50)
    mean = defended(small_classifier(), [smoothing(training="off")], InMemory(), Trainer())
    assert mean.differentiable
    assert mean.surrogate is None
    with tf.GradientTape() as tape:
        shown = images()
        tape.watch(shown)
        logits = victim(shown)
    assert np.abs(tape.gradient(logits, shown, output_gradients=tf.eye(6, 3))).max() > 0


def test_gaussian_training_shows_the_images_with_noise_that_may_leave_the_box():
    shown = tf.zeros((200, 4, 4, 1))
    noisy = gaussian(0.25).perturb(None, shown, None, image_seeds(3, 200)).numpy()
    assert noisy.std() == pytest.approx(0.25, rel=0.03)
    assert noisy.min() < -0.5
    again = gaussian(0.25).perturb(None, shown[:5], None, image_seeds(3, 5)).numpy()
    assert np.array_equal(noisy[:5], again)


def test_adversarial_training_attacks_the_mean_of_the_draws_that_it_trains_on():
    network, seen = small_classifier(), []

    def attack(classifier, shown, labels, *, seed):
        seen.append(classifier)
        return shown + 0.1

    task = adversarial(attack, 0.25, 3)
    labels = tf.constant([0, 1, 2, 0, 1, 2])
    noisy = task.perturb(network, images(), labels, image_seeds(3, 6))
    [at] = seen
    assert isinstance(at, AtNoise)
    copies = tf.reshape(noisy, (6, 3, 4, 4, 1))
    assert np.allclose(copies, images()[:, None] + 0.1 + at.noise, atol=1e-6)
    each = np.stack([network(copies[:, k]) for k in range(3)])
    assert np.allclose(at(images() + 0.1), np.log(softmax(each).mean(0)), atol=1e-5)
    losses, logits = task.objective(network, images(), noisy, labels)
    expected = -np.log(softmax(each)[:, np.arange(6), labels]).mean(0)
    assert np.allclose(losses, expected, atol=1e-5)
    assert np.allclose(logits, at(images() + 0.1), atol=1e-5)
    first = task.validate_on(network, images(), labels, image_seeds(3, 6))
    assert np.allclose(first, copies[:, 0], atol=1e-6)


def test_it_acts_in_training_unless_it_trains_nothing():
    assert (smoothing().stage, smoothing().fits) == (Stage.TRAINING, True)
    none = smoothing(training="off")
    assert (none.stage, none.fits, none.needs) == (Stage.INFERENCE, False, frozenset())
    assert none.apply(LinearClassifier(), InMemory(), Trainer()).classifier.stochastic
    with pytest.raises(UsageError, match="randomized_smoothing: expected a Keras model"):
        smoothing().check(LinearClassifier(), InMemory())
    with pytest.raises(UsageError, match="eps"):
        smoothing(training="adversarial", eps=9).check(small_classifier(), InMemory())


@pytest.mark.slow
def test_votes_and_the_majority_are_exported_and_each_call_draws_anew(tmp_path):
    defense = smoothing(training="off", vote="majority", samples=40, sigma=1.0)
    smooth = defended(small_classifier(), [defense], InMemory(), Trainer())
    served = store.load(store.export(smooth, tmp_path / "1"))
    first, second = (served.outputs(images())["votes"].numpy() for _ in range(2))
    assert (first.sum(axis=1) == 40).all()
    assert not np.array_equal(first, second)
    assert (served.stochastic, served.passes, served.differentiable) == (True, 40, False)
    assert served.surrogate is not None


@pytest.mark.slow
@pytest.mark.parametrize("training", ["gaussian", "adversarial", "off"])
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_randomized_smoothing_keeps_the_contract(check, training):
    check(smoothing(training=training, samples=4))


@pytest.mark.slow
def test_a_stored_network_is_smoothed_again_with_what_it_learned(tmp_path):
    model = create("models", "fully_connected", units=8)
    trained = train_and_store(
        model, InMemory(), "m", Trainer(QUICK), [smoothing(samples=7)], root=tmp_path
    )
    network = stored_network("m", tmp_path)
    assert isinstance(network, Smoothed)
    assert (network.passes, [defense.name for defense in network.defenses]) == (
        7, ["randomized_smoothing"],
    )  # fmt: skip
    inside = predict(trained.classifier.inner, images().numpy())
    assert np.array_equal(predict(network.inner, images().numpy()), inside)


@pytest.mark.slow
def test_noisy_training_makes_single_noisy_copies_readable(digits):
    shown, labels = digits["test"]
    trainer = Trainer(TrainingOptions(epochs=12, learning_rate=3e-3))
    model, scenario = create("models", "lenet"), create("scenarios", "digits")

    def accuracy(training):
        plain = train(model, scenario, trainer) if training == "off" else None
        network = plain or train(model, scenario, trainer, [smoothing(training=training)])
        copies = Smoothed(network.inner or network, Noise("gaussian", 0.25), 1)
        return (predict(copies, shown).argmax(axis=1) == labels).mean()

    assert accuracy("gaussian") > accuracy("off") + 0.03
