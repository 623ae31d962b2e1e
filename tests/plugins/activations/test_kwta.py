"""k winners take all: who wins, what is trained, and what estimated gradients find."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.knowing import naive_and_knowing
from helpers.support import InMemory, small_classifier, small_model
from tfrobust import store
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import defended, train
from tfrobust.pipeline.reload import stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks, grey_images
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_activations.estimated import Estimated
from tfrobust_activations.replaced import layers_of, with_activations
from tfrobust_activations.winners import WinnersTakeAll

QUICK = Trainer(TrainingOptions(epochs=1))


def kwta(**options):
    return create("defenses", "kwta", **options)


@pytest.mark.parametrize("shape", [(40,), (5, 4, 2)])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.29, 1.0])
def test_exactly_k_numbers_win_and_they_are_the_largest(shape, share):
    inputs = np.random.default_rng(3).normal(size=(7, *shape)).astype(np.float32)
    outputs = WinnersTakeAll(share)(inputs).numpy().reshape(7, -1)
    flat = inputs.reshape(7, -1)
    winners = max(1, int(share * 40 + 1e-6))
    assert ((outputs != 0).sum(axis=1) == winners).all()
    least = np.sort(flat, axis=1)[:, -winners, None]
    assert np.array_equal(outputs, np.where(flat >= least, flat, 0))


def test_the_gradient_reaches_the_winners_alone():
    inputs = tf.constant([[3.0, -1.0, 2.0, -5.0]])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = WinnersTakeAll(0.5)(inputs)
    assert np.array_equal(tape.gradient(outputs, inputs), [[1.0, 0.0, 1.0, 0.0]])


def branching():
    """A network with every form of a hidden activation, one of them in a nested model."""
    layers, images = keras.layers, keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu")(images)
    x = layers.ReLU(max_value=6.0)(layers.BatchNormalization()(x))
    inner = keras.Input((8, 8, 3))
    nested = keras.Model(
        inner, layers.Activation("gelu")(layers.Conv2D(3, 3, padding="same")(inner))
    )
    x = layers.Add()([x, nested(x)])
    x = keras.ops.relu(layers.DepthwiseConv2D(3)(x))
    gate = layers.Dense(3, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(
        images, layers.Dense(10)(layers.Flatten()(x * layers.Reshape((1, 1, 3))(gate)))
    )


def test_every_hidden_activation_is_replaced_and_gates_and_weights_stay():
    plain = KerasClassifier(branching())
    sparse = with_activations(plain, lambda name: WinnersTakeAll(0.3, name=name))
    assert len(layers_of(sparse.model, WinnersTakeAll)) == 4
    left = [getattr(layer.activation, "__name__", "") for layer in sparse.model._flatten_layers()
            if hasattr(layer, "activation")]  # fmt: skip
    assert sorted(set(left)) == ["linear", "sigmoid"]
    assert sparse.model.count_params() == plain.model.count_params()
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    identity = with_activations(plain, lambda name: keras.layers.ReLU(name=name))
    twice = with_activations(identity, lambda name: keras.layers.Activation("relu", name=name))
    assert np.allclose(predict(twice, images), predict(identity, images), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_kwta_keeps_the_contract(check):
    check(kwta())


def test_the_shares_fall_to_the_last_one_and_each_is_trained():
    assert kwta().shares() == [0.1]
    assert np.allclose(kwta(share=0.1, start=0.112).shares(), [0.112, 0.107, 0.102, 0.1])
    fitted = []

    class Watching(Trainer):
        def fit(self, classifier, scenario):
            [layer] = layers_of(classifier.model, WinnersTakeAll)
            fitted.append((round(layer.share, 3), self.options.epochs))
            return []

    network = small_classifier()
    done = kwta(share=0.3, start=0.4, fall=0.05, fall_epochs=3).apply(
        network, InMemory(), Watching(TrainingOptions(epochs=7))
    )
    assert fitted == [(0.4, 7), (0.35, 3), (0.3, 3)]
    assert not layers_of(network.model, WinnersTakeAll)
    assert layers_of(done.classifier.model, WinnersTakeAll)[0].share == 0.3


class Step(Classifier):
    """Logits 0 and 1 where the first pixel is above a half, else 0 and 0: a jump, no slope."""

    def __init__(self):
        super().__init__(image_shape=(2, 2, 1), num_classes=2)

    def __call__(self, images):
        above = tf.where(images[:, :1, 0, 0] > 0.5, 1.0, 0.0)
        return tf.concat([tf.zeros_like(above), above], axis=1)


@tf.function
def gradient(classifier, images, logit):
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier(images)
    slope = tf.one_hot(tf.fill(tf.shape(logits)[:1], logit), classifier.num_classes)
    return logits, tape.gradient(logits, images, output_gradients=slope)


def test_the_estimated_gradient_of_a_linear_classifier_is_its_weights():
    classifier = LinearClassifier((3, 2, 1), 3)
    images = tf.constant(grey_images(classifier, 40)[0])
    logits, found = gradient(Estimated(classifier, (0.02, 0.1), 20), images, 1)
    assert np.allclose(logits, classifier(images), atol=1e-5)
    expected = classifier.weights.numpy()[:, 1].reshape(3, 2, 1)
    assert np.abs(found.numpy().mean(axis=0) - expected).max() < 0.1 * np.abs(expected).max()


def test_the_estimated_gradient_sees_a_jump_as_large_as_the_noise_averages_it():
    images = np.random.default_rng(0).uniform(size=(200, 2, 2, 1)).astype(np.float32)
    images[:, 0, 0] = 0.45
    _, found = gradient(Estimated(Step(), (0.1,), 20), tf.constant(images), 1)
    density = np.exp(-0.5 * 0.5**2) / np.sqrt(2 * np.pi) / 0.1  # of the jump, half a σ away
    mean = found.numpy().mean(axis=0).reshape(-1)
    assert mean[0] == pytest.approx(density, rel=0.1)
    assert np.abs(mean[1:]).max() < 0.1 * density


def test_an_image_has_the_same_estimated_gradient_in_every_batch():
    estimated = Estimated(small_classifier(), (0.1,), 5)
    images = tf.constant(np.random.default_rng(1).uniform(size=(3, 4, 4, 1)).astype(np.float32))
    _, together = gradient(estimated, images, 0)
    _, alone = gradient(estimated, images[1:2], 0)
    assert np.abs(together[0] - together[1]).max() > 0
    assert np.allclose(together[1], alone[0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("further", ["fine_tuning", "pgd_training"])
def test_a_further_training_keeps_the_surrogate_of_the_network_that_it_returns(further):
    sparse = defended(small_classifier(), [kwta()], InMemory(), QUICK)
    tuned = defended(sparse, [create("defenses", further)], InMemory(), QUICK)
    images = tf.constant(np.random.default_rng(1).uniform(size=(3, 4, 4, 1)).astype(np.float32))
    logits, slope = gradient(tuned.surrogate, images, 0)
    assert np.allclose(logits, tuned(images), atol=1e-5)
    assert np.abs(slope).max() > 0


@pytest.mark.slow
def test_estimated_gradients_break_what_withstands_its_own():
    trainer = Trainer(TrainingOptions(epochs=15, learning_rate=3e-3))
    model = create("models", "lenet")
    sparse = train(model, create("scenarios", "digits"), trainer, [kwta(share=0.05)])
    naive, knowing, clean = naive_and_knowing(sparse, 0.2)
    assert clean > 0.6
    assert naive > 0.15
    assert knowing < 0.03


@pytest.mark.slow
def test_a_stored_network_keeps_its_winners_and_its_surrogate_is_served(tmp_path):
    trained = train_and_store(
        create("models", "fully_connected", units=16), InMemory(shape=(8, 8, 1)), "m", QUICK,
        [kwta(share=0.2)], root=tmp_path,
    )  # fmt: skip
    network, served = stored_network("m", tmp_path), store.load("m", root=tmp_path)
    images = tf.constant(np.random.default_rng(1).uniform(size=(3, 8, 8, 1)).astype(np.float32))
    assert np.array_equal(predict(network, images), predict(trained.classifier, images))
    assert layers_of(network.model, WinnersTakeAll)[0].share == 0.2
    every = (trained.classifier, served, network)
    expected, got, again = (gradient(one.surrogate, images, 0)[1] for one in every)
    assert np.abs(expected).max() > 0
    assert np.allclose(got, expected, atol=1e-4)
    assert np.allclose(again, expected, atol=1e-4)
    assert [declared.attack for declared in served.defenses[0].adaptive] == ["pgd", "square"]


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (lambda: LinearClassifier((4, 4, 1), 3), "kwta: expected a Keras model"),
        (lambda: KerasClassifier(small_model(kind=tf_keras)), "received: a Keras 2 one"),
        (lambda: KerasClassifier(create("models", "linear").build((4, 4, 1), 3)),
         "received: one without; take another architecture"),
    ],
)  # fmt: skip
def test_a_network_without_activations_to_replace_is_refused(classifier, message):
    with pytest.raises(UsageError, match=message):
        kwta().check(classifier(), InMemory())


@pytest.mark.parametrize(
    "options", [{"share": 0}, {"share": 1.1}, {"share": 0.2, "start": 0.1}, {"fall": 0}]
)
def test_options_out_of_range_cost_one_line(options):
    with pytest.raises(UsageError, match="kwta"):
        kwta(**options)
