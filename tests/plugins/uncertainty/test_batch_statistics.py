"""Batch normalisation by the batch's statistics: `model(x, training=True)`, and whole batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory, small_model
from tfrobust import store
from tfrobust.classifier import AppliedDefense
from tfrobust.classifiers.inference import clean_predictions, predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.models import keras_of
from tfrobust.engine.run import run_attack
from tfrobust.errors import PluginError, UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_uncertainty.batch_statistics import by_batch, of_passes
from tfrobust_uncertainty.held_out import Remembering, held_out_scores
from tfrobust_uncertainty.passes import passes_through

KINDS = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras 3", "keras 2"])


def images(count=12):
    return np.random.default_rng(0).uniform(size=(count, 4, 4, 1)).astype(np.float32)


def network(kind=keras, rate=0.0, trainable=True):
    """Return a network with batch normalisation before and after dropout, of learned weights."""
    layers = kind.layers
    inputs = layers.Input((4, 4, 1))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    x = layers.BatchNormalization(name="first")(x)
    x = layers.Dropout(rate)(layers.Flatten()(layers.Activation("relu")(x)))
    x = layers.Dense(5, use_bias=False)(x)
    x = layers.BatchNormalization(scale=False, epsilon=0.02, name="second")(x)
    model = kind.Model(inputs, layers.Dense(3)(x))
    draw = np.random.default_rng(3)
    model.set_weights(
        [0.5 + draw.uniform(size=w.shape).astype(np.float32) * 0.5 for w in model.get_weights()]
    )
    model.get_layer("second").trainable = trainable
    return model


def defended(model, **options):
    options = {"samples": 4, "batch_statistics": "batch"} | options
    defense = create("defenses", "mc_dropout", **options)
    stochastic = KerasClassifier(model)
    return defense.apply(stochastic, InMemory(), Trainer(TrainingOptions(epochs=1))).classifier


@KINDS
@pytest.mark.parametrize("trainable", [True, False], ids=["all", "one frozen"])
def test_a_pass_is_the_model_in_training_mode_and_no_running_statistic_moves(kind, trainable):
    model = network(kind, trainable=trainable)
    before = [np.array(weight) for weight in model.get_weights()]
    logits = passes_through(KerasClassifier(model), 2, None, "batch")(tf.constant(images()))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    plain = model(images(), training=True).numpy()
    np.testing.assert_allclose(logits, np.stack([plain] * 2), rtol=1e-5, atol=2e-5)


@KINDS
def test_its_gradient_goes_through_the_statistics_as_in_training_mode(kind):
    model, x = network(kind), tf.constant(images())
    passes = passes_through(KerasClassifier(model), 1, None, "batch")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = tf.reduce_sum(passes(x)[0, :, 0])
        plain = tf.reduce_sum(model(x, training=True)[:2, 1])
        of_two = tf.reduce_sum(passes(x)[0, :2, 1])
    np.testing.assert_allclose(tape.gradient(of_two, x), tape.gradient(plain, x), atol=1e-5)
    # The sum over a batch of what is normalised over it cannot be moved: a mask by itself.
    np.testing.assert_allclose(tape.gradient(ours, x), np.zeros(x.shape), atol=1e-5)
    assert np.abs(tape.gradient(of_two, x)[5]).max() > 0  # of another image


def test_every_pass_is_normalised_by_itself_where_all_go_through_in_one_batch():
    """Rows of one pass do not notice that another pass is far away."""
    layer, rest = network().get_layer("second"), np.random.default_rng(1)
    stands = by_batch(keras)(layer)
    passes = [scale * rest.normal(size=(12, 5)).astype(np.float32) for scale in (1.0, 50.0, 0.1)]
    with of_passes(3):
        together = stands(tf.reshape(tf.stack(passes, axis=1), (36, 5)))
    apart = np.stack([stands(rows) for rows in passes], axis=1)
    np.testing.assert_allclose(np.reshape(together, (12, 3, 5)), apart, atol=1e-5)


@pytest.mark.slow
def test_passes_in_one_batch_spread_as_those_one_by_one():
    passes = passes_through(KerasClassifier(network(rate=0.5)), 2000, None, "batch")
    assert passes.together
    fast = passes(tf.constant(images())).numpy()
    passes.together, passes.samples = False, 500
    slow = tf.function(passes.__call__)(tf.constant(images())).numpy()
    error = 5 * slow.std(0) / np.sqrt(500)
    assert (np.abs(fast.mean(0) - slow.mean(0)) < 1.2 * error + 1e-4).all()
    np.testing.assert_allclose(fast.std(0), slow.std(0), rtol=0.2)


@pytest.mark.slow
def test_answers_depend_on_the_other_images_and_are_served_so(tmp_path):
    classifier = defended(network(rate=0.1), samples=50)
    recorded = classifier.replace(
        defenses=(AppliedDefense("mc_dropout", {"samples": 50, "batch_statistics": "batch"}),)
    )
    served = store.load(store.export(recorded, tmp_path / "1"))
    for one in (classifier, served):
        assert one.batch_dependent
        all_alike = np.asarray(one(images(12)))[:4]
        assert np.abs(all_alike - np.asarray(one(images(12)[:4]))).max() > 0.1
    assert not defended(network(rate=0.1), batch_statistics="running").batch_dependent


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pgd", {"steps": 3, "early_stop": False}),
        pytest.param("jsma", {"gamma": 0.5, "targeted": False}, marks=pytest.mark.slow),
        pytest.param("ddn", {"steps": 5}, marks=pytest.mark.slow),
        pytest.param("apgd_ce", {"steps": 5}, marks=pytest.mark.slow),
        pytest.param("square", {"queries": 5}, marks=pytest.mark.slow),
    ],
)
def test_attacks_see_whole_batches_at_every_step(name, options):
    """Each call is one of 12 images: none of them leaves the batch, and no batch is cut."""
    classifier = defended(network())
    sizes = []
    through = classifier.through

    def watched(x):
        tf.py_function(lambda n: sizes.append(int(n)), [tf.shape(x)[0]], [])
        return through(x)

    classifier.through = watched
    labels = clean_predictions(classifier, images(24), batch_size=12)
    sizes.clear()
    options = options | ({} if name in ("ddn", "jsma") else {"eps": 0.5})
    attack = create("attacks", name, **options)
    run_attack(attack, classifier, images(24), labels, batch_size=12)
    assert len(sizes) > 2
    assert set(sizes) == {12}


@pytest.mark.slow
def test_a_gradient_that_averages_many_calls_is_not_computed_on_smaller_batches():
    """20 calls of one pass share the memory of a batch elsewhere; here a batch must stay one."""
    classifier = defended(network(rate=0.3), samples=1)
    labels = clean_predictions(classifier, images())
    done = []
    attack = create("attacks", "fgsm", eps=0.3)
    run_attack(attack, classifier, images(), labels, batch_size=6, on_progress=done.append)
    assert done == [6, 12]


def test_an_attack_that_asks_about_other_batches_is_refused_in_a_line():
    classifier, x = defended(network()), images()
    labels = clean_predictions(classifier, x)
    with pytest.raises(PluginError, match=r"spsa failed: .*depend on the whole batch, and this"):
        run_attack(create("attacks", "spsa", steps=1), classifier, x, labels)
    with pytest.raises(UsageError, match=r"autoattack: .*one by one: apgd_ce"):
        run_attack(create("attacks", "autoattack"), classifier, x, labels)


@pytest.mark.parametrize(("count", "batch_size"), [(13, 6), (1, 6), (12, 1)])
def test_an_image_alone_in_its_batch_is_refused(count, batch_size):
    classifier, x = defended(network()), images(count)
    with pytest.raises(UsageError, match=f"batch_size: {count} images, {batch_size} at a time"):
        clean_predictions(classifier, x, batch_size=batch_size)
    attack, labels = create("attacks", "fgsm"), np.zeros(count, np.int64)
    with pytest.raises(UsageError, match=r"batch_size: .*choose another number"):
        run_attack(attack, classifier, x, labels, batch_size=batch_size)


def test_a_detector_learns_from_whole_batches_of_attacked_images():
    classifier = defended(network(rate=0.1))
    scenario, attack = InMemory(images=48), create("attacks", "fgsm", eps=0.5)
    fitting = attacked_training_images(attack, classifier, scenario, 48)
    assert len(fitting.learned) == 48
    assert fitting.record.adversarial == 48
    assert not fitting.record.only_fooling


def test_held_out_scores_of_whole_batches_are_those_of_all_images_together():
    class Mean(Remembering):
        """Scores an image by its batch."""

        def remember(self, rows):
            self.rows = rows

        def score(self, images, outputs=None):
            return tf.reduce_mean(images, (1, 2, 3)) - tf.reduce_mean(images)

    x = images(20)
    expected = x.mean((1, 2, 3)) - x.mean()
    clean, _ = held_out_scores(Mean(), x, x, whole=True)
    np.testing.assert_allclose(clean, expected, atol=1e-6)
    clean, _ = held_out_scores(Mean(), x, x)
    assert np.abs(clean - expected).max() > 1e-3


def test_an_image_is_attacked_and_judged_among_the_same_images():
    """The accuracy of an evaluation is that of the batches that were crafted together."""
    classifier = defended(network(), samples=1)
    scenario = InMemory(images=40)
    attack = create("attacks", "fgsm", eps=0.4, samples=1)
    evaluated = evaluate(
        {"it": classifier}, scenario, [attack], baselines=(), batch_size=16, block_size=32,
        keep_images=True, limit=40,
    )  # fmt: skip
    crafted, labels = evaluated.adversarial[0][0], evaluated.outcomes.column("label")
    right = predict(classifier, crafted, 16).argmax(1) == labels
    clean = clean_predictions(classifier, evaluated.images, batch_size=16) == labels
    figures = evaluated.results.evaluations[0].attacks[0]
    assert figures.accuracy == pytest.approx((right & clean).mean())


def test_a_network_without_batch_normalisation_has_no_statistics_to_choose():
    with pytest.raises(UsageError, match="batch_statistics=batch: the model has no batch norm"):
        defended(small_model(dropout=0.5))
    averaged = defended(network(rate=0.5))
    again = create("defenses", "mc_dropout", batch_statistics="batch")
    with pytest.raises(UsageError, match="mc_dropout: dropout and batch_statistics can be"):
        again.apply(averaged, InMemory(), None)
    assert keras_of(averaged.inner.model) is keras


def test_whoever_knows_follows_running_statistics_whose_gradient_does_not_mislead():
    model = network()
    defense = create("defenses", "mc_dropout", samples=4, batch_statistics="batch")
    followed = defense.surrogate(defended(model))
    assert not followed.batch_dependent
    expected = tf.nn.log_softmax(model(images(), training=False))
    assert np.allclose(followed(images()), expected, atol=1e-5)
    running = create("defenses", "mc_dropout", samples=4)
    assert running.surrogate(defended(model, batch_statistics="running")) is None
