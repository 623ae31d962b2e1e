"""MagNet: the auto-encoder, what it measures, the detectors, and the attack through it."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial import distance

from tfrobust import store
from tfrobust.classifier import Separable, Wrapped
from tfrobust.classifiers.inference import predict
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.pipeline.build import defended
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier
from tfrobust.training.options import TrainingOptions
from tfrobust.training.trainer import Trainer
from tfrobust_transformations.magnet import Magnet
from tfrobust_transformations.magnet_detector import MagnetDetector
from tfrobust_transformations.reformed import Reformed, auto_encoder, jensen_shannon

DIGITS = create("scenarios", "digits")


def behind(classifier, magnet, epochs=0):
    options = TrainingOptions(epochs=epochs, batch_size=64, seed=1)
    return defended(classifier, [magnet], DIGITS, Trainer(options))


def accuracy(classifier, images, labels):
    return (predict(classifier, images).argmax(axis=1) == labels).mean()


def test_the_divergence_is_that_of_jensen_and_shannon():
    draw = np.random.default_rng(0)
    first, second = draw.dirichlet(np.ones(5), size=(2, 6)).astype(np.float32)
    second[0] = 0, 0, 1, 0, 0
    expected = [distance.jensenshannon(*pair) ** 2 for pair in zip(first, second, strict=True)]
    assert np.allclose(jensen_shannon(first, second), expected, atol=1e-6)
    assert np.allclose(jensen_shannon(first, first), 0, atol=1e-7)


@pytest.mark.parametrize("pooling", [False, True])
def test_an_auto_encoder_returns_images_of_the_same_shape_in_the_unit_range(pooling):
    model = auto_encoder((6, 10, 3), 4, "relu", pooling=pooling)
    images = np.random.default_rng(0).uniform(size=(5, 6, 10, 3)).astype(np.float32)
    made = model(images).numpy()
    assert made.shape == images.shape
    assert 0 <= made.min() <= made.max() <= 1


def test_what_is_served_is_that_of_the_reformed_images_and_what_detectors_look_at():
    network = LinearClassifier((8, 8, 1), 4)
    model = auto_encoder((8, 8, 1), 2, "sigmoid", pooling=False)
    images = np.random.default_rng(0).uniform(size=(5, 8, 8, 1)).astype(np.float32)
    for error, power in (("l1", 1), ("l2", 2)):
        reformed = Reformed(network, model, 5.0, error)
        outputs = reformed.outputs(tf.constant(images))
        made = model(images).numpy()
        assert np.allclose(outputs["logits"], network(made), atol=1e-5)
        assert np.allclose(outputs["logits"], reformed(tf.constant(images)), atol=1e-5)
        errors = (np.abs(images - made) ** power).mean(axis=(1, 2, 3))
        assert np.allclose(outputs["reconstruction_error"], errors, atol=1e-6)
        answers = [tf.nn.softmax(network(shown) / 5.0) for shown in (images, made)]
        assert np.allclose(outputs["divergence"], jensen_shannon(*answers), atol=1e-6)
    assert isinstance(reformed, Separable)


@pytest.mark.slow
def test_an_attack_through_the_auto_encoder_breaks_what_a_naive_one_leaves(
    trained, test_images, tmp_path
):
    images, labels = test_images
    magnet = behind(trained, Magnet(filters=16, activation="relu"), epochs=12)
    reformed = magnet.outputs(tf.constant(images))
    assert float(tf.reduce_mean(reformed["reconstruction_error"])) < 0.08
    attack = create("attacks", "pgd", eps=0.3, steps=40)
    served = store.load(store.export(magnet, tmp_path / "m" / "1"))
    naive, knowing = (run_attack(attack, one, images, labels).images for one in (trained, served))
    assert accuracy(magnet, images, labels) > 0.85
    assert accuracy(magnet, naive, labels) > accuracy(magnet, knowing, labels) + 0.2
    assert accuracy(magnet, knowing, labels) < 0.1
    assert np.allclose(served(tf.constant(images)), magnet(tf.constant(images)), atol=1e-4)
    detector = MagnetDetector(false_positives=0.05)
    clean = arrays(DIGITS, "train", 300)[0]
    seen = detector.fit(served, clean, 1 - clean)
    noisy = np.clip(images + np.random.default_rng(0).normal(0, 0.5, images.shape), 0, 1)
    assert (np.asarray(seen.score(tf.constant(noisy, tf.float32))) > 1).mean() > 0.8
    assert (np.asarray(seen.score(tf.constant(images))) > 1).mean() < 0.25


class Measured(Wrapped):
    """Serves two measures that stand in the first pixels of an image."""

    def outputs(self, images):
        measures = {"reconstruction_error": images[:, 0, 0, 0], "divergence": images[:, 0, 1, 0]}
        return super().outputs(images) | measures


def test_the_detector_fires_where_one_of_the_two_exceeds_what_clean_images_reach():
    classifier = Measured(LinearClassifier((2, 2, 1), 2))
    clean = np.random.default_rng(0).uniform(size=(1000, 2, 2, 1)).astype(np.float32)
    clean[:, 0, 1] *= 0.1
    fitted = MagnetDetector(false_positives=0.1).fit(classifier, clean, 1 - clean)
    scores = np.asarray(fitted.score(tf.constant(clean)))
    exceed = (clean[:, 0, 0, 0] > 0.9) | (clean[:, 0, 1, 0] > 0.09)
    assert ((scores > fitted.threshold) == exceed).mean() > 0.95
    outputs = classifier.outputs(tf.constant(clean))
    assert np.array_equal(scores, fitted.score(tf.constant(clean), outputs))


@pytest.mark.slow
def test_the_detector_trains_an_auto_encoder_for_a_classifier_that_has_none():
    classifier = LinearClassifier((8, 8, 1), 3)
    clean = DIGITS.load_rows("train", 0, 128)
    clean = np.stack([row["image"] for row in clean.as_numpy_iterator()])
    errors = []
    for epochs in (0, 15):
        detector = MagnetDetector(epochs=epochs, false_positives=0.05, learning_rate=0.01)
        fitted = detector.fit(classifier, clean, 1 - clean)
        outputs = fitted.classifier.outputs(tf.constant(clean))
        errors.append(float(tf.reduce_mean(outputs["reconstruction_error"])))
    assert errors[1] < 0.6 * errors[0]
    scores = np.asarray(fitted.score(tf.constant(clean), classifier.outputs(tf.constant(clean))))
    assert 0.0 < (scores > 1).mean() <= 0.1


@pytest.mark.slow
def test_a_stored_one_is_put_together_again_from_its_auto_encoder(tmp_path, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path))
    trainer = Trainer(TrainingOptions(epochs=1, batch_size=64))
    magnet = create("defenses", "magnet", error="l2", epochs=1)
    train_and_store(create("models", "lenet", width=2), DIGITS, "m", trainer, [magnet])
    served, network = store.load("m"), stored_network("m")
    images = tf.constant(np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype(np.float32))
    outputs = [one.outputs(images) for one in (served, network)]
    for name in ("logits", "reconstruction_error", "divergence", "reformed"):
        assert np.allclose(*(each[name] for each in outputs), atol=1e-5)
    assert isinstance(network, Reformed)


def test_what_does_not_fit_is_refused():
    odd = LinearClassifier((5, 8, 1), 3)
    with pytest.raises(UsageError, match="expected images of even sides; received: 5 × 8"):
        behind(odd, Magnet(pooling=True))
    with pytest.raises(ClassifierError, match="was trained for images"):
        Magnet().restore(odd, auto_encoder((8, 8, 1), 2, "relu", pooling=False))
