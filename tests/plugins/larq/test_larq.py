"""Quantized networks: what the quantizers compute, that they learn, and that they are served."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import python
from tfrobust import store
from tfrobust.classifiers.identity import answers_differ
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.models import load_keras_file, random_state, raw_variables
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_larq.quantizers import DrawnSign, Linear

NETWORKS = [
    "lenet_bnn",
    "lenet_random_bnn",
    "resnet_quantized",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("lenet_float", "lenet_quantized")),
]
SHAPE = (8, 8, 1)


def built(name, **options):
    tf_keras.utils.set_random_seed(3)
    return KerasClassifier(create("models", name, **options).build(SHAPE, 10))


def images(count=5, shape=SHAPE):
    return tf.constant(np.random.default_rng(0).uniform(size=(count, *shape)).astype(np.float32))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8, 16])
def test_the_linear_quantizer_is_the_formula_of_the_paper(bits):
    x = np.linspace(-1.5, 1.5, 401).astype(np.float32)
    steps = 2 ** (bits - 1)
    expected = np.clip(np.round(x * steps) / steps, -1, 1)
    np.testing.assert_array_equal(Linear(bits)(x), expected)
    assert len(np.unique(expected)) == min(2**bits + 1, len(np.unique(expected)))


def test_two_bits_give_five_levels():
    levels = np.unique(Linear(2)(np.linspace(-2, 2, 99).astype(np.float32)))
    np.testing.assert_array_equal(levels, [-1.0, -0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("quantizer", [Linear(3), DrawnSign(1)], ids=["linear", "drawn"])
def test_gradients_go_straight_through_and_are_cut_beyond_one(quantizer):
    x = tf.constant([-1.2, -1.0, -0.3, 0.0, 0.4, 1.0, 1.1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(quantizer(x) * tf.range(1.0, 8.0))
    np.testing.assert_array_equal(tape.gradient(y, x), [0, 2, 3, 4, 5, 6, 0])


def test_signs_are_drawn_with_the_hard_sigmoid():
    quantizer = DrawnSign(7)
    x = tf.constant([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
    drawn = np.mean([quantizer(tf.tile(x[None], (400, 1))) for _ in range(10)], axis=(0, 1))
    np.testing.assert_allclose(drawn, np.clip(x, -1, 1), atol=0.06)
    np.testing.assert_array_equal(drawn[[0, 1, 5, 6]], [-1, -1, 1, 1])


def test_one_seed_draws_the_same_signs_and_another_seed_others():
    x = tf.zeros(64)
    first, again, other = (DrawnSign(seed)(x).numpy() for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_features_are_the_hidden_units_and_not_the_logits_before_they_are_normalised(name):
    classifier = built(name)
    features = classifier.features(images()).numpy()
    assert features.shape == (5, 64 if name == "resnet_quantized" else 84)
    np.testing.assert_array_equal(classifier.features(images()), features)
    assert answers_differ(classifier) == (name == "lenet_random_bnn")


def test_the_features_of_drawn_weights_are_those_of_their_means():
    classifier = built("lenet_random_bnn")
    mean = tf_keras.models.clone_model(classifier.model)
    for layer in mean.layers:
        if hasattr(layer, "kernel_quantizer"):
            layer.kernel_quantizer.gives_mean = True
    mean.set_weights(classifier.model.get_weights())
    before = tf_keras.Model(mean.inputs, mean.layers[-2].input)
    np.testing.assert_allclose(classifier.features(images()), before(images()), atol=1e-5)


def test_the_features_of_drawn_weights_are_served(tmp_path):
    classifier = built("lenet_random_bnn")
    loaded = store.load(store.export(classifier, tmp_path / "1"))
    np.testing.assert_allclose(
        loaded.features(images()), classifier.features(images()), rtol=1e-4, atol=1e-5
    )


def test_the_seed_of_a_training_decides_its_draws_and_a_file_keeps_them(tmp_path):
    def states(seed):
        tf_keras.utils.set_random_seed(seed)
        model = create("models", "lenet_random_bnn").build(SHAPE, 10)
        return model, np.stack(random_state(model))

    (_, first), (model, again), (_, other) = states(0), states(0), states(1)
    np.testing.assert_array_equal(first, again)
    assert not np.isin(first[:, 0], other[:, 0]).any()
    model.save(tmp_path / "m.keras")
    loaded = [np.stack(random_state(load_keras_file(tmp_path / "m.keras"))) for _ in range(2)]
    np.testing.assert_array_equal(loaded[0], first)
    np.testing.assert_array_equal(loaded[1], first)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_model_comes_back_from_its_file_the_same(name, tmp_path):
    classifier = built(name)
    classifier.model.save(tmp_path / "m.keras")
    loaded = KerasClassifier(load_keras_file(tmp_path / "m.keras"))
    if name != "lenet_random_bnn":
        np.testing.assert_array_equal(loaded(images()), classifier(images()))
    kernels = [w for w in loaded.model.get_weights() if w.ndim > 1]
    same = [w for w in classifier.model.get_weights() if w.ndim > 1]
    assert all(np.array_equal(a, b) for a, b in zip(kernels, same, strict=True))
    assert answers_differ(loaded) == (name == "lenet_random_bnn")


def test_every_layer_of_the_random_network_draws_for_itself():
    states = [tuple(state.numpy()) for state in random_state(built("lenet_random_bnn").model)]
    assert len(states) == len(set(states)) == 5


def test_quantized_layers_compute_with_quantized_weights():
    model = built("lenet_quantized", bits=2).model
    layer = model.get_layer(index=1)
    kernel = layer.kernel.latent_variable.numpy()
    levels = np.clip(np.round(kernel * 2) / 2, -1, 1)
    expected = tf.nn.conv2d(images(), levels, 1, "SAME")
    np.testing.assert_allclose(layer(images()), expected, atol=1e-5)
    assert not np.allclose(kernel, levels)


def test_the_gradient_with_respect_to_the_image_is_exact_while_activations_are_not_binary():
    classifier = built("lenet_bnn", dropout=0.0)
    x = images(2)

    def loss(x):
        return tf.reduce_sum(classifier(x)[:, 0])

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    gradient = tape.gradient(value, x).numpy()
    direction = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    step = 1e-3
    slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    assert float(slope) == pytest.approx(float((gradient * direction).sum()), rel=0.05)


def test_binary_activations_are_signs_with_the_gradient_asked_for():
    gradients = []
    for name in ("ste", "approx", "swish"):
        classifier = built("lenet_bnn", binary_activations=True, activation_gradient=name)
        kinds = {type(layer).__name__ for layer in classifier.model.layers}
        assert not kinds & {"ReLU"}
        x = images(3)
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = classifier(x)
        gradients.append((logits.numpy(), tape.gradient(logits, x).numpy()))
    (first, ste), (second, approx), (third, swish) = gradients
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)
    assert not np.allclose(ste, approx)
    assert not np.allclose(ste, swish)


LEARNT = {
    "lenet_float": ({}, 12, 0.9),
    "lenet_bnn": ({}, 5, 0.8),
    "lenet_quantized": ({"bits": 2}, 12, 0.8),
    "lenet_random_bnn": ({"width": 2}, 40, 0.6),
}


# The other two are between these; `make test-slow` has them too.
@pytest.mark.parametrize(
    "name",
    [
        "lenet_bnn",
        *(
            pytest.param(n, marks=pytest.mark.slow)
            for n in ("lenet_random_bnn", "lenet_float", "lenet_quantized")
        ),
    ],
)
def test_a_quantized_network_learns_the_digits(name, digits):
    options, epochs, least = LEARNT[name]
    trainer = Trainer(TrainingOptions(epochs=epochs, learning_rate=1e-2))
    classifier = train(create("models", name, **options), create("scenarios", "digits"), trainer)
    test, labels = digits["test"]
    assert (clean_predictions(classifier, test) == labels).mean() > least
    assert classifier.stochastic == (name == "lenet_random_bnn")
    kernels = [w for w in classifier.model.trainable_weights if "kernel" in w.name]
    if name != "lenet_float":
        assert max(float(tf.reduce_max(tf.abs(w))) for w in kernels) <= 1.0 + 1e-6


def test_larq_counts_bits_memory_and_operations():
    float_, signs, both = (
        create("models", name, **options).summary((28, 28, 1), 10)
        for name, options in (
            ("lenet_float", {}),
            ("lenet_bnn", {}),
            ("lenet_bnn", {"binary_activations": True}),
        )
    )
    weights = 25 * 6 + 150 * 16 + 784 * 120 + 120 * 84 + 84 * 10
    of_total = dict(zip(signs.columns, signs.rows[-1], strict=True))
    assert of_total["# 1-bit x 1"] == str(weights)
    assert "# 1-bit x 1" not in float_.columns
    assert float(signs.totals["Compression Ratio of Memory"]) < 0.06
    assert float(float_.totals["Compression Ratio of Memory"]) == 1
    name = "Ratio of MACs that are binarized"
    assert float(both.totals[name]) > 0.5 > float(signs.totals[name]) == 0


def test_the_summary_does_not_count_draws_as_weights():
    drawn, signs = (
        create("models", name).summary(SHAPE, 10) for name in ("lenet_random_bnn", "lenet_bnn")
    )
    assert drawn.rows[-1][3] == signs.rows[-1][3]


SERVED = """
import json, sys
import numpy as np
import tensorflow as tf

images = tf.constant(np.load(sys.argv[1]))
for folder, out in json.loads(sys.argv[2]):
    loaded = tf.saved_model.load(folder)
    serve = loaded.signatures["serving_default"]
    kernels = [variable for variable in serve.variables if variable.shape.rank > 1]
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = serve(images=images)["logits"]
    gradient, *of_weights = tape.gradient(logits, [images, *kernels])
    again = serve(images=images)["logits"]
    trained = {"x".join(map(str, g.shape)): g.numpy() for g in of_weights}
    np.savez(out, logits=logits, gradient=gradient, again=again, **trained)
assert not {"larq", "tfrobust"} & set(sys.modules)
"""
EXPORTED = {
    "signs of activations": (
        "lenet_bnn", {"binary_activations": True, "activation_gradient": "approx"},
    ),
    "signs": ("lenet_bnn", {}),
    "three bits": ("lenet_quantized", {"bits": 3}),
    "random": ("lenet_random_bnn", {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Every network of `EXPORTED`, its folder, and the outputs that another process wrote there."""
    folder = tmp_path_factory.mktemp("served")
    networks = {name: built(model, **options) for name, (model, options) in EXPORTED.items()}
    jobs = {
        name: (str(store.export(network, folder / name / "1")), str(folder / f"{name}.npz"))
        for name, network in networks.items()
    }
    np.save(folder / "images.npy", images())
    done = python(SERVED, folder / "images.npy", json.dumps(list(jobs.values())))
    assert done.returncode == 0, done.stderr[-1500:]
    return {name: (networks[name], at, np.load(out)) for name, (at, out) in jobs.items()}


@pytest.mark.parametrize(
    "name",
    [
        "signs",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("signs of activations", "three bits")),
    ],
)
def test_forward_and_straight_through_gradient_are_served_bit_for_bit(name, served):
    classifier, _, answers = served[name]
    x = images()

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = classifier(x)
        return logits, tape.gradient(logits, [x, *kernels])

    kernels = [raw for raw in raw_variables(classifier.model) if raw.shape.rank > 1]
    logits, (gradient, *of_weights) = both(x)
    for expected in of_weights:  # straight through the kernels' quantizers
        weights = answers["x".join(map(str, expected.shape))]
        np.testing.assert_array_equal(weights, expected)
        assert np.abs(weights).max() > 0
    np.testing.assert_array_equal(answers["logits"], logits)
    np.testing.assert_array_equal(answers["gradient"], gradient)
    assert np.abs(answers["gradient"]).max() > 0


def test_the_exported_random_network_draws_new_signs_at_each_call(served):
    _, folder, answers = served["random"]
    assert not np.array_equal(answers["logits"], answers["again"])
    assert store.load(folder).stochastic


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet_quantized", {"bits": 0}, "bits: .*greater than or equal to 1; received: 0"),
        ("lenet_quantized", {"bits": 17}, "bits: .*less than or equal to 16; received: 17"),
        ("lenet_bnn", {"dropout": 1.0}, "dropout: .*less than 1; received: 1.0"),
        ("lenet_bnn", {"dropout": -0.5}, "dropout: .*greater than or equal to 0"),
        ("resnet_quantized", {"bits": 99}, "bits: .*less than or equal to 16"),
        ("resnet_quantized", {"depth": 9}, r"6n \+ 2"),
    ],
)
def test_impossible_options_cost_a_line(name, options, message):
    with pytest.raises(UsageError, match=message):
        create("models", name, **options)
