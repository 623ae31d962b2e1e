"""Monte Carlo dropout: right averages, a deterministic part that runs once, and its export."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory, python, small_model
from tfrobust import store
from tfrobust.classifier import AppliedDefense, Wrapped
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.graph import calls, inlined, is_functional, split
from tfrobust.engine.run import run_attack
from tfrobust.engine.victim import victim_of
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_uncertainty.drawing import call_draws
from tfrobust_uncertainty.masks import Mask
from tfrobust_uncertainty.noise_layers import always_on, noisy
from tfrobust_uncertainty.passes import passes_through

KINDS = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras 3", "keras 2"])


def images(count=6, shape=(4, 4, 1)):
    return tf.constant(np.random.default_rng(0).uniform(size=(count, *shape)).astype(np.float32))


def defended(classifier, **options):
    defense = create("defenses", "mc_dropout", **options)
    return defense.apply(classifier, InMemory(), Trainer(TrainingOptions(epochs=1))).classifier


class WithNormalization:
    """Builds a network with a branch, batch normalization and dropout in the middle."""

    @staticmethod
    def build(kind, rate=0.5):
        layers = kind.layers
        inputs = layers.Input((4, 4, 1))
        x = layers.Conv2D(3, 3, padding="same", kernel_initializer=glorot(kind, 1))(inputs)
        x = layers.BatchNormalization()(x)
        flat = layers.Flatten()(x)
        left = layers.Dropout(rate)(layers.Dense(8, activation="relu", name="left")(flat))
        right = layers.Dense(8, name="right", kernel_initializer=glorot(kind, 2))(flat)
        both = layers.Add()([left, right])
        return kind.Model(inputs, layers.Dense(3, kernel_initializer=glorot(kind, 3))(both))


def glorot(kind, seed):
    return kind.initializers.GlorotUniform(seed=seed)


@KINDS
def test_the_probabilities_are_the_mean_of_the_passes_and_the_uncertainty_their_variance(kind):
    classifier = defended(KerasClassifier(small_model(kind=kind, dropout=0.5)), samples=40)
    logits = tf.constant(np.random.default_rng(1).normal(size=(40, 6, 3)).astype(np.float32))
    classifier.through = lambda _: logits
    outputs = classifier.outputs(images())
    probabilities = tf.nn.softmax(logits).numpy().astype(np.float64)
    np.testing.assert_allclose(outputs["probabilities"], probabilities.mean(0), atol=1e-6)
    np.testing.assert_allclose(outputs["uncertainty"], probabilities.var(0).mean(1), atol=1e-7)
    np.testing.assert_allclose(classifier(images()), np.log(probabilities.mean(0)), atol=1e-5)


@KINDS
def test_passes_agree_in_distribution_with_the_model_called_in_training_mode(kind):
    model = small_model(kind=kind, dropout=0.5)
    passes = passes_through(KerasClassifier(model), 4000, None)
    fast = tf.nn.softmax(passes(images())).numpy()
    plain = tf.nn.softmax(model(tf.repeat(images(), 4000, axis=0), training=True))
    plain = np.transpose(np.reshape(plain, (6, 4000, 3)), (1, 0, 2))
    error = 5 * fast.std(0) / np.sqrt(4000)  # five standard errors
    assert (np.abs(fast.mean(0) - plain.mean(0)) < 2 * error + 1e-6).all()
    np.testing.assert_allclose(fast.std(0), plain.std(0), rtol=0.1, atol=1e-3)


@KINDS
def test_every_image_and_every_pass_has_a_draw_of_its_own(kind):
    passes = passes_through(KerasClassifier(small_model(kind=kind, dropout=0.5)), 30, None)
    same = tf.repeat(images(1), 5, axis=0)
    logits = passes(same).numpy()
    assert len(np.unique(logits[..., 0])) > 75  # of 150; dropout of 16 units rarely repeats
    assert not np.array_equal(logits, passes(same).numpy())


@KINDS
def test_layers_before_the_first_draw_run_once(kind):
    model = noisy(WithNormalization.build(kind))
    before, after = split(model, always_on)
    names = {layer.name for layer in before.layers}
    assert {"left", "right"} <= names
    assert len(after.inputs) == 2  # both branches are deterministic up to there
    given = before(images(), training=False)
    assert after(given, training=False).shape == (6, 3)


@KINDS
def test_batch_normalization_keeps_its_running_statistics(kind):
    model = WithNormalization.build(kind, rate=0.0)
    kept = [np.array(weight) for weight in model.get_weights()]
    passes = passes_through(KerasClassifier(model), 3, None)
    plain = model(images(), training=False).numpy()
    np.testing.assert_allclose(passes(images()), np.stack([plain] * 3), atol=1e-5)
    for before, now in zip(kept, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, now)


@KINDS
def test_dropout_inside_a_nested_model_is_on_too(kind):
    inputs = kind.layers.Input((4, 4, 1))
    nested = kind.Model(inputs, small_model(kind=kind, dropout=0.5)(inputs))
    logits = passes_through(KerasClassifier(nested), 8, None)(images()).numpy()
    assert logits.std(axis=0).max() > 0


def nested(kind):
    """Return a network whose backbone, a model itself, ends in dropout and is called twice."""
    layers = kind.layers
    inputs = layers.Input((4, 4, 1))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(inputs))
    x = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    backbone = kind.Model(inputs, layers.Dropout(0.5)(x), name="backbone")
    outer = layers.Input((4, 4, 1))
    both = layers.Add()([backbone(outer, training=False), backbone(outer * 0.5, training=False)])
    head = kind.Sequential([layers.Input((16,)), layers.Dense(3), layers.Activation("linear")])
    return kind.Model(outer, head(both) + 1.0)


@KINDS
def test_a_model_in_one_level_computes_the_same(kind):
    model = nested(kind)
    flat = inlined(model)
    assert not any(is_functional(call.layer) for call in calls(flat))
    assert flat.count_params() == model.count_params()
    np.testing.assert_allclose(
        flat(images(), training=False), model(images(), training=False), atol=1e-6
    )


@KINDS
def test_a_nested_model_is_cut_at_the_dropout_in_it(kind):
    model = nested(kind)
    before, after = split(noisy(model), always_on)
    assert {"Conv2D", "BatchNormalization", "Dense"} <= {type(x).__name__ for x in before.layers}
    assert not {"Conv2D", "BatchNormalization"} & {type(x).__name__ for x in after.layers}
    passes = passes_through(KerasClassifier(model), 2000, None)
    fast = passes(images()).numpy()
    plain = model(images(), training=False).numpy()  # linear behind the dropout: the mean is known
    np.testing.assert_allclose(fast.mean(0), plain, atol=0.15 * fast.std(0).max() + 1e-3)


@KINDS
def test_outputs_after_the_last_kernel_are_not_dropped(kind):
    layers = [
        kind.layers.Input((4, 4, 1)),
        kind.layers.Conv2D(4, 3, padding="same"),
        kind.layers.GlobalAveragePooling2D(),
        kind.layers.Dense(3),
        kind.layers.BatchNormalization(),
        kind.layers.Activation("linear"),
    ]
    before, _ = split(noisy(kind.Sequential(layers), 0.5), always_on)
    assert before.output_shape == (None, 4)


def test_the_hidden_units_of_a_quantized_residual_network_are_dropped_and_not_its_logits():
    model = create("models", "resnet_quantized", width=4).build((8, 8, 1), 10)
    before, _ = split(noisy(model, 0.5), always_on)
    assert before.output_shape == (None, 16)


def shaken(kind):
    """Return a layer of Keras 2 or 3 that draws at inference too."""

    class Shake(kind.layers.Layer):
        def call(self, inputs):
            return inputs + tf.random.normal((1, 16))

    return Shake()


@KINDS
@pytest.mark.parametrize("dropout", [0.0, 1e-6])
def test_a_layer_that_draws_at_inference_is_drawn_in_every_pass(kind, dropout):
    last = kind.layers.Dense(3)
    layers = [
        kind.layers.Input((4, 4, 1)),
        kind.layers.Flatten(),
        kind.layers.Dense(16),
        shaken(kind),
        *([kind.layers.Dropout(dropout)] if dropout else []),
        last,
    ]
    model = kind.Sequential(layers)
    passes = passes_through(KerasClassifier(model, stochastic=True), 4000, None)
    logits = tf.function(passes.__call__)(images(2)).numpy()
    spread = np.sqrt(np.square(np.array(last.kernel)).sum(axis=0))  # of 16 standard normals
    np.testing.assert_allclose(logits.std(0), [spread, spread], rtol=0.07)
    before, _ = split(noisy(model), lambda call: always_on(call) or call_draws(call))
    assert [type(layer).__name__ for layer in before.layers][-1] == "Dense"


@KINDS
def test_passes_do_not_share_what_all_images_of_a_batch_share(kind):
    layers = [
        kind.layers.Input((4, 4, 1)),
        kind.layers.Flatten(),
        kind.layers.Dense(16),
        kind.layers.Dropout(0.5, noise_shape=(1, 16)),
        kind.layers.Dense(3),
    ]
    logits = passes_through(KerasClassifier(kind.Sequential(layers)), 8, None)(images()).numpy()
    assert len(np.unique(logits[:, 0, 0])) > 4


@KINDS
def test_a_rate_keeps_the_kind_of_every_noise_layer(kind):
    layers = [
        kind.layers.Input((4, 4, 2)),
        kind.layers.GaussianNoise(0.05),
        kind.layers.SpatialDropout2D(0.1),
        kind.layers.Flatten(),
    ]
    model = noisy(kind.Sequential(layers), 0.5)
    ones = tf.ones((400, 4, 4, 2))
    drawn = model(ones, training=False).numpy().reshape(400, 16, 2)
    dropped = (drawn == 0).reshape(400, 16, 2)
    assert (dropped.all(axis=1) == dropped.any(axis=1)).all()  # whole channels
    assert dropped.mean() == pytest.approx(0.5, abs=0.1)
    deviation = drawn[~dropped].std()
    assert deviation == pytest.approx(2 * 0.05, rel=0.1)  # the other layers draw as before


@KINDS
def test_a_rate_inserts_dropout_where_the_only_noise_is_gaussian(kind):
    layers = [
        kind.layers.Input((4, 4, 1)),
        kind.layers.GaussianNoise(1e-6),
        kind.layers.Flatten(),
        kind.layers.Dense(16),
        kind.layers.Dense(3),
    ]
    passes = passes_through(KerasClassifier(kind.Sequential(layers)), 20, 0.5)
    assert passes(images()).numpy().std(axis=0).max() > 1e-2


def test_keras_seed_decides_what_the_masks_draw():
    model = small_model(dropout=0.5)

    def logits(seed):
        keras.utils.set_random_seed(seed)
        return passes_through(KerasClassifier(model), 8, None)(images()).numpy()

    np.testing.assert_array_equal(logits(3), logits(3))
    assert not np.array_equal(logits(3), logits(4))


@KINDS
def test_a_rate_inserts_dropout_where_there_is_none(kind):
    classifier = KerasClassifier(small_model(kind=kind))
    with pytest.raises(UsageError, match=r"no dropout and no other randomness; give a rate"):
        defended(classifier)
    assert float(tf.reduce_max(defended(classifier, rate=0.5).outputs(images())["uncertainty"])) > 0
    sure = defended(classifier, rate=0.0)
    np.testing.assert_allclose(
        tf.nn.softmax(sure(images())), tf.nn.softmax(classifier(images())), atol=1e-6
    )


def test_a_given_rate_overrides_the_rate_of_the_layers():
    classifier = KerasClassifier(small_model(dropout=0.5))
    sure = defended(classifier, rate=0.0).outputs(images())["uncertainty"]
    np.testing.assert_allclose(sure, 0.0, atol=1e-12)


def test_a_convolutional_network_gets_its_dropout_before_the_last_layer():
    layers = [
        keras.Input((4, 4, 1)),
        keras.layers.Conv2D(4, 3, padding="same"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    before, _ = split(noisy(keras.Sequential(layers), 0.5), always_on)
    assert [type(layer).__name__ for layer in before.layers][-1] == "GlobalAveragePooling2D"


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.3, 0.5, 0.9])
def test_a_mask_drops_its_share_and_keeps_the_expectation(rate):
    inputs = tf.ones((501, 401))  # an odd number of units
    dropped = np.mean([Mask(rate)(inputs).numpy() == 0 for _ in range(5)])
    total = np.mean([Mask(rate)(inputs).numpy() for _ in range(5)])
    count = 5 * 501 * 401
    assert abs(dropped - rate) <= 5 * np.sqrt(rate * (1 - rate) / count) + 1e-5
    assert abs(total - 1.0) <= 5 * np.sqrt(rate / (1 - rate) / count) + 1e-6


def test_neighbouring_units_of_a_mask_are_drawn_apart():
    """Two units share a random number, but their masks must look independent."""
    stays = (Mask(0.5)(tf.ones((2000, 64))).numpy() > 0).astype(float)
    correlation = np.corrcoef(stays.T) - np.eye(64)
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)
    across = np.corrcoef(stays[:-1].ravel(), stays[1:].ravel())[0, 1]
    assert abs(across) < 5 / np.sqrt(stays.size)


def test_other_noise_layers_draw_unchanged():
    layers = [
        keras.Input((4, 4, 1)),
        keras.layers.SpatialDropout2D(0.5),
        keras.layers.GaussianNoise(0.1),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]
    passes = passes_through(KerasClassifier(keras.Sequential(layers)), 6, None)
    assert passes(images()).numpy().std(axis=0).min() > 0


class Shaken(Wrapped):
    """A classifier that is random without being a Keras model."""

    def __init__(self, inner):
        super().__init__(inner, stochastic=True)
        self.draws = tf.random.Generator.from_seed(2)

    def __call__(self, images):
        return self.inner(images) + self.draws.normal((1, self.num_classes))


def test_any_random_classifier_can_be_averaged():
    classifier = LinearClassifier((4, 4, 1), 3)
    averaged = defended(Shaken(classifier), samples=20)
    assert averaged.passes == 20
    assert float(averaged.outputs(images())["uncertainty"][0]) > 0
    with pytest.raises(UsageError, match=r"functional or sequential Keras model.*LinearClassifier"):
        defended(classifier, rate=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples: .*greater than or equal to 1"),
        ({"rate": 1.0}, "rate: .*less than 1"),
        ({"rate": -0.1}, "rate: .*greater than or equal to 0"),
    ],
)
def test_impossible_options_cost_a_line(options, message):
    with pytest.raises(UsageError, match=f"mc_dropout: {message}"):
        create("defenses", "mc_dropout", **options)


def test_an_attack_that_averages_20_gradients_needs_one_call_of_50_passes():
    classifier = defended(KerasClassifier(small_model(dropout=0.5)), samples=50)
    assert victim_of(create("attacks", "pgd"), classifier) == (classifier, 1)
    single = defended(KerasClassifier(small_model(dropout=0.5)), samples=1)
    assert victim_of(create("attacks", "pgd"), single)[1] == 20


@KINDS
def test_white_box_attacks_go_through_all_passes(kind):
    classifier = defended(KerasClassifier(small_model(kind=kind, dropout=0.3)), samples=10)
    clean = images().numpy()
    labels = np.asarray(tf.argmax(classifier.inner(images()), 1))
    crafted = run_attack(create("attacks", "pgd", eps=0.5, steps=5), classifier, clean, labels)
    assert (np.asarray(tf.argmax(classifier.inner(crafted.images), 1)) != labels).any()


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_mc_dropout_keeps_the_contract(check):
    check(create("defenses", "mc_dropout", samples=5, rate=0.3))


SERVED = """
import sys
import numpy as np
import tensorflow as tf

for folder in sys.argv[1:]:
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures["serving_default"]
    images = tf.constant(np.random.default_rng(0).uniform(size=(6, 4, 4, 1)).astype(np.float32))
    first, second = serve(images=images), serve(images=images)
    assert set(first) == {"logits", "probabilities", "uncertainty"}, sorted(first)
    assert first["uncertainty"].shape == (6,), first["uncertainty"].shape
    assert np.allclose(first["probabilities"].numpy().sum(1), 1, atol=1e-5)
    assert not np.array_equal(first["logits"], second["logits"]), "one draw for ever"
    assert float(tf.reduce_min(first["uncertainty"])) > 0
assert "tfrobust" not in sys.modules
"""


def test_the_exported_classifier_draws_at_every_call_and_needs_only_tensorflow(tmp_path):
    folders = []
    for kind in (keras, tf_keras):
        classifier = defended(KerasClassifier(small_model(kind=kind, dropout=0.5)), samples=12)
        # As training records it: a card alone is not trusted.
        recorded = classifier.replace(defenses=(AppliedDefense("mc_dropout", {"samples": 12}),))
        folders.append(store.export(recorded, tmp_path / kind.__name__ / "1"))
        served = store.load(folders[-1])
        assert (served.stochastic, served.passes) == (True, 12)
        assert "uncertainty" in served.outputs(images())
    done = python(SERVED, *folders)
    assert done.returncode == 0, done.stderr[-1500:]
