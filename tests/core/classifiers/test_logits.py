"""Logits only: a last activation is noticed, refused, and left out on request."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import small_model
from tfrobust.classifier import Classifier
from tfrobust.classifiers.bounded import DOUBTFUL, SATURATED, logarithms, looks_bounded
from tfrobust.classifiers.checks import check_sound
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.keras.ending import ending
from tfrobust.classifiers.keras.graph import hidden, trunk
from tfrobust.classifiers.logits import converted, to_logits
from tfrobust.errors import ClassifierError

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(0).uniform(size=(6, *SHAPE)).astype(np.float32)
generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])
ACTIVATIONS = {
    "softmax": tf.nn.softmax,
    "sigmoid": tf.nn.sigmoid,
    "tanh": tf.nn.tanh,
    "softsign": tf.nn.softsign,
    "hard_sigmoid": None,
}


def drawn(model, seed=0):
    """Give a model weights of one size, large enough to saturate its last activation."""
    draw = np.random.default_rng(seed)
    model.set_weights([draw.normal(size=w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def linear(kind):
    layers = [kind.layers.Input(SHAPE), kind.layers.Flatten(), kind.layers.Dense(3)]
    return drawn(kind.Sequential(layers))


def operation(kind, name):
    where = keras.ops if kind is keras else tf.nn
    return getattr(where, name)


def ending_in(kind, name, form):
    """Return the linear model with an activation behind it, written in one of many ways."""
    layers = kind.layers
    images = layers.Input(SHAPE, name="image")
    flat = layers.Flatten()(images)
    z = layers.Dense(3)(flat)
    head = [layers.Input(SHAPE), layers.Flatten(), layers.Dense(3, activation=name)]
    cast = layers.Activation("linear", dtype="float32")
    models = {
        "dense": lambda: kind.Sequential(head),
        "activation": lambda: kind.Model(images, layers.Activation(name)(z)),
        "operation": lambda: kind.Model(images, operation(kind, name)(z)),
        "nested": lambda: kind.Sequential([layers.Input(SHAPE), kind.Sequential(head)]),
        "nested twice": lambda: kind.Model(
            images, kind.Sequential([layers.Input(SHAPE), kind.Sequential(head)])(images)
        ),
        "nested alone": lambda: kind.Model(
            images, kind.Sequential([layers.Input((3,)), layers.Activation(name)])(z)
        ),
        "then linear": lambda: kind.Sequential([*head, layers.Activation("linear")]),
        "then float32": lambda: kind.Sequential([*head, cast]),
        "then dropout": lambda: kind.Sequential([*head, layers.Dropout(0.5)]),
        "then reshaped": lambda: kind.Model(
            images, layers.Reshape((3,))(layers.Activation(name)(layers.Reshape((1, 3))(z)))
        ),
        "dict": lambda: kind.Model({"image": images}, {"p": layers.Activation(name)(z)}),
    }
    return drawn(models[form]())


FORMS = [
    "dense", "activation", "operation", "nested", "nested twice", "nested alone", "then linear",
    "then float32", "then dropout", "then reshaped", "dict",
]  # fmt: skip


@generations
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_a_last_activation_is_refused_and_left_out_on_request(kind, name, form):
    model = ending_in(kind, name, form)
    assert ending(model).name == name
    with pytest.raises(ClassifierError, match=rf"ends in a {name}.*activation=None.*--to-logits"):
        KerasClassifier(model)
    before = [weight.copy() for weight in model.get_weights()]
    logits_model, notice = converted(model)
    logits = KerasClassifier(logits_model)(tf.constant(IMAGES))
    assert notice == f"its last {name} is left out"
    assert np.allclose(logits, np.asarray(linear(kind)(IMAGES)), atol=1e-5)
    assert ending(model).name == name
    assert all(map(np.array_equal, model.get_weights(), before))


@generations
@pytest.mark.parametrize("name", ["tanh", "softsign", "hard_sigmoid"])
def test_other_activations_that_bound_the_outputs_are_noticed_too(kind, name):
    model = ending_in(kind, name, "dense")
    with pytest.raises(ClassifierError, match=f"ends in a {name}"):
        KerasClassifier(model)
    logits = KerasClassifier(to_logits(model))(tf.constant(IMAGES))
    assert np.allclose(logits, np.asarray(linear(kind)(IMAGES)), atol=1e-5)


@generations
@pytest.mark.parametrize("layer", ["Softmax", "rescaled", "as a layer"])
def test_a_softmax_is_noticed_as_a_layer_and_before_a_scale(kind, layer):
    layers = kind.layers
    ends = {
        "Softmax": [layers.Dense(3), layers.Softmax()],
        "rescaled": [layers.Dense(3, activation="softmax"), layers.Rescaling(1.0)],
        "as a layer": [layers.Dense(3, activation=layers.Softmax())],
    }
    model = drawn(kind.Sequential([layers.Input(SHAPE), layers.Flatten(), *ends[layer]]))
    assert ending(model).name == "softmax"
    logits = KerasClassifier(to_logits(model))(tf.constant(IMAGES))
    assert np.allclose(logits, np.asarray(linear(kind)(IMAGES)), atol=1e-5)


@generations
def test_an_activation_left_out_of_one_call_stays_in_another_call_of_its_layer(kind):
    layers = kind.layers
    softmax, images = layers.Softmax(), layers.Input(SHAPE)
    gate = softmax(layers.Flatten()(images))
    z = layers.Dense(3)(layers.Multiply()([gate, layers.Flatten()(images)]))
    model = drawn(kind.Model(images, softmax(z)))
    probabilities = tf.nn.softmax(KerasClassifier(to_logits(model))(tf.constant(IMAGES)))
    assert np.allclose(probabilities, np.asarray(model(IMAGES)), atol=1e-6)


@generations
@pytest.mark.parametrize("shared", ["activation", "dense", "inside another", "operation"])
def test_a_layer_that_is_called_earlier_too_keeps_its_activation_there(kind, shared):
    layers = kind.layers
    images = layers.Input(SHAPE)
    act, dense = layers.Activation("sigmoid"), layers.Dense(3, activation="sigmoid")
    first = layers.Dense(3)(layers.Flatten()(images))
    ends = {
        "activation": lambda: act(layers.Dense(3)(act(first))),
        "dense": lambda: dense(dense(first)),
        "inside another": lambda: dense(
            layers.Flatten()(layers.TimeDistributed(dense)(layers.Reshape((1, 3))(first)))
        ),
        "operation": lambda: operation(kind, "sigmoid")(operation(kind, "sigmoid")(first)),
    }
    model = drawn(kind.Model(images, ends[shared]()))
    given = np.asarray(model(IMAGES))
    logits_model, notice = converted(model)
    assert notice == "its last sigmoid is left out"
    assert np.allclose(tf.sigmoid(logits_model(IMAGES)), given, atol=1e-6)
    assert np.array_equal(np.asarray(model(IMAGES)), given)


@generations
def test_an_activation_that_cannot_be_left_out_for_certain_is_refused(kind, monkeypatch):
    model = ending_in(kind, "softmax", "dense")
    other = drawn(ending_in(kind, "softmax", "dense"), seed=1)
    monkeypatch.setattr("tfrobust.classifiers.logits._cloned", lambda model: other)
    with pytest.raises(ClassifierError, match=r"last softmax cannot be left.*activation=None"):
        to_logits(model)


class Noisy(keras.layers.Layer):
    """Adds noise at inference too."""

    def call(self, x):
        return x + tf.random.normal(tf.shape(x))


@pytest.mark.parametrize("sort", ["drawn", "float16", "bfloat16"])
def test_noise_and_rounding_do_not_keep_an_activation_from_being_left_out(sort):
    policy = "float32" if sort == "drawn" else f"mixed_{sort}"
    dense = keras.layers.Dense(3, activation="softmax", dtype=policy)
    first = [Noisy()] if sort == "drawn" else []
    model = keras.Sequential([keras.Input(SHAPE), *first, keras.layers.Flatten(), dense])
    assert converted(drawn(model))[1] == "its last softmax is left out"


SCALED = {
    "2s-1": lambda kind, z: operation(kind, "sigmoid")(z) * 2 - 1,
    "1-s": lambda kind, z: 1 - operation(kind, "sigmoid")(-z),
    "100 softmax": lambda kind, z: 100.0 * operation(kind, "softmax")(z),
    "a share": lambda kind, z: kind.layers.Rescaling(0.9, 0.01)(operation(kind, "softmax")(z)),
    "divided": lambda kind, z: operation(kind, "tanh")(z) / 3.0,
}


@generations
@pytest.mark.parametrize("case", SCALED)
def test_constants_behind_an_activation_do_not_hide_it(kind, case):
    images = kind.layers.Input(SHAPE)
    z = kind.layers.Dense(3)(kind.layers.Flatten()(images))
    model = drawn(kind.Model(images, SCALED[case](kind, z)))
    with pytest.raises(ClassifierError, match=r"ends in a (softmax|sigmoid|tanh)"):
        KerasClassifier(model)
    logits = KerasClassifier(to_logits(model))(tf.constant(IMAGES))
    assert np.allclose(logits, np.asarray(linear(kind)(IMAGES)), atol=1e-5)


@generations
def test_constants_behind_a_linear_layer_leave_logits(kind):
    images = kind.layers.Input(SHAPE)
    z = kind.layers.Dense(3)(kind.layers.Flatten()(images))
    assert ending(kind.Model(images, z * 2.0 + 1.0)).name == "linear"
    assert ending(kind.Model(images, 1.0 / z)).name == ""


@generations
def test_a_saved_copy_of_a_converted_model_is_the_same(kind, tmp_path):
    logits_model = to_logits(ending_in(kind, "softmax", "nested twice"))
    logits_model.save(tmp_path / "m.keras")
    again = kind.models.load_model(tmp_path / "m.keras")
    assert ending(again).name == "linear"
    assert np.allclose(np.asarray(again(IMAGES)), np.asarray(logits_model(IMAGES)), atol=1e-6)
    assert hidden(again)(IMAGES).shape == (6, 16)


@generations
@pytest.mark.parametrize("last", [None, "sigmoid"])
def test_one_output_is_two_logits_on_request(kind, last):
    layers = kind.layers
    model = drawn(
        kind.Sequential([layers.Input(SHAPE), layers.Flatten(), layers.Dense(1, activation=last)])
    )
    with pytest.raises(ClassifierError, match=r"2 classes or more.*\(None, 1\).*--to-logits"):
        KerasClassifier(model)
    logits_model, notice = converted(model)
    logits = np.asarray(KerasClassifier(logits_model)(tf.constant(IMAGES)))
    assert notice.endswith("its one output z is judged as two logits, 0 and z")
    assert (logits[:, 0] == 0).all()
    given = np.asarray(model(IMAGES))[:, 0]
    z = logits[:, 1]
    assert np.allclose(1 / (1 + np.exp(-z)) if last else z, given, atol=1e-6)


class Own(keras.Model):
    """A subclassed model, which shows no graph."""

    def __init__(self, last=None):
        super().__init__()
        self.flat, self.dense = keras.layers.Flatten(), keras.layers.Dense(3)
        self.last = last or (lambda z: z)

    def call(self, images):
        return self.last(self.dense(self.flat(images)))


def own(last=None):
    model = Own(last)
    model(np.zeros((2, *SHAPE), np.float32))
    return drawn(model)


def test_a_subclassed_model_that_was_called_is_a_classifier():
    with pytest.raises(ClassifierError, match=r"never built; call it once"):
        KerasClassifier(Own())
    classifier = KerasClassifier(own())
    assert (classifier.image_shape, classifier.num_classes) == (SHAPE, 3)
    check_sound(classifier, "own")
    assert np.allclose(
        classifier(tf.constant(IMAGES)), np.asarray(linear(keras)(IMAGES)), atol=1e-5
    )


def test_probabilities_that_no_graph_explains_are_noticed_by_their_values():
    model = own(keras.ops.softmax)
    with pytest.raises(ClassifierError, match=r"the model: returns probabilities.*--to-logits"):
        KerasClassifier(model)
    logits_model, notice = converted(model)
    assert notice == "its logits are the logarithms of its probabilities"
    check_sound(KerasClassifier(logits_model), "converted")
    differences = [np.asarray(network(IMAGES)) for network in (logits_model, linear(keras))]
    differences = [z - z[:, :1] for z in differences]
    assert np.allclose(*differences, atol=1e-4)


@generations
def test_a_mean_of_softmaxes_becomes_its_logarithm(kind):
    layers = kind.layers
    images = layers.Input(SHAPE)
    heads = [layers.Dense(3, activation="softmax")(layers.Flatten()(images)) for _ in range(2)]
    model = drawn(kind.Model(images, layers.Average()(heads)))
    logits = KerasClassifier(to_logits(model))(tf.constant(IMAGES))
    assert np.allclose(tf.nn.softmax(logits), np.asarray(model(IMAGES)), atol=1e-6)


def test_sigmoids_that_no_graph_explains_are_refused_even_on_request():
    model = own(keras.ops.sigmoid)
    with pytest.raises(ClassifierError, match=r"returns numbers in \[0, 1\] as a sigmoid"):
        KerasClassifier(model)
    with pytest.raises(ClassifierError, match=r"nothing shows which logits.*activation=None"):
        to_logits(model)


class Says(Classifier):
    """Applies a function to a linear map of the images."""

    def __init__(self, answer, weights=None, bias=0.0, classes=10):
        super().__init__(image_shape=SHAPE, num_classes=classes)
        drawn_weights = np.random.default_rng(0).normal(size=(16, 10))
        self.weights = np.asarray(drawn_weights if weights is None else weights, np.float32)
        self.answer, self.bias = answer, bias

    def __call__(self, images):
        return self.answer(tf.reshape(images, (-1, 16)) @ self.weights + self.bias)


def rounded_softmax(z, dtype=tf.bfloat16):
    return tf.cast(tf.nn.softmax(tf.cast(z, dtype)), tf.float32)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (tf.nn.softmax, "softmax"),
        (lambda z: tf.nn.softmax(20 * z), "softmax"),
        (rounded_softmax, "softmax"),
        (lambda z: rounded_softmax(z, tf.float16), "softmax"),
        (tf.nn.sigmoid, "sigmoid"),
        (lambda z: tf.nn.relu6(z + 3) / 6, "sigmoid"),
        (lambda z: tf.exp(-z * z), "sigmoid"),
    ],
)
def test_probabilities_of_any_precision_are_noticed_by_their_values(answer, kind):
    says = Says(answer)
    assert looks_bounded(says, SHAPE) == kind
    with pytest.raises(ClassifierError, match=r"m1: returns (probabilities|numbers in \[0, 1\])"):
        check_sound(says, "m1")


@pytest.mark.parametrize(
    "says",
    [
        Says(tf.identity, weights=np.full((16, 10), 0.9 / 16)),
        Says(tf.identity, weights=np.random.default_rng(0).uniform(0, 1 / 16, (16, 10))),
        Says(tf.identity, weights=np.random.default_rng(0).normal(0, 1e-3, (16, 10)), bias=0.5),
        Says(tf.nn.relu, weights=np.random.default_rng(0).uniform(0, 1 / 16, (16, 10))),
        Says(lambda z: 0.1 + 0.0 * z),
        Says(tf.nn.log_softmax),
    ],
    ids=["in range", "in range, drawn", "in range, faint", "after a relu", "constant", "log p"],
)
def test_honest_logits_that_happen_to_lie_in_0_to_1_are_not_refused(says):
    images = tf.constant(IMAGES)
    assert looks_bounded(says, SHAPE) == ""
    check_sound(says, "m1")
    assert np.isfinite(says(images)).all()


def centred(z):
    return 2 * tf.sigmoid(z) - 1


@pytest.mark.parametrize(
    "answer",
    [tf.tanh, tf.atan, tf.math.erf, tf.nn.softsign, centred, lambda z: 5 * tf.nn.relu6(z + 3) - 2],
    ids=["tanh", "atan", "erf", "softsign", "2s-1", "relu6"],
)
def test_outputs_that_stop_at_the_same_two_values_for_all_classes_are_no_logits(answer):
    says = Says(answer)
    assert looks_bounded(says, SHAPE) == SATURATED
    with pytest.raises(ClassifierError, match=r"m1: returns numbers that stop at.*its last act"):
        check_sound(says, "m1")


@pytest.mark.parametrize("scale", [100.0, 1.001, 5.0])
def test_probabilities_are_noticed_at_any_scale(scale):
    assert looks_bounded(Says(lambda z: scale * tf.nn.softmax(z)), SHAPE) == "softmax"


def test_a_tanh_in_a_subclass_is_noticed_by_its_values():
    with pytest.raises(ClassifierError, match=r"returns numbers that stop at the same two values"):
        KerasClassifier(own(keras.ops.tanh))
    with pytest.raises(ClassifierError, match=r"nothing shows which logits.*activation=None"):
        to_logits(own(keras.ops.tanh))


DRAW = np.random.default_rng(3)
WIDE, LAST, TERNARY = (
    DRAW.normal(size=size).astype(np.float32) for size in ((16, 32), (32, 10), (32, 10))
)
TERNARY = np.sign(TERNARY)


def normed(z):
    return (z - tf.reduce_mean(z, 1, keepdims=True)) / tf.math.reduce_std(z, 1, keepdims=True)


def unit(z, axis=1):
    return tf.math.l2_normalize(z, axis)


def signed(z):
    return tf.where(z >= 0, 1.0, -1.0)


def flat(images):
    return tf.reshape(images, (-1, 16))


HONEST = {
    "layer norm first": lambda x: normed(flat(x)) @ WIDE @ LAST,
    "layer norm before the head": lambda x: normed(tf.nn.relu(flat(x) @ WIDE)) @ LAST,
    "layer norm last": lambda x: normed(flat(x) @ WIDE @ LAST),
    "cosines": lambda x: unit(flat(x) @ WIDE) @ unit(LAST, 0),
    "scaled cosines": lambda x: 16 * unit(flat(x) @ WIDE) @ unit(LAST, 0),
    "distances": lambda x: -tf.norm(unit(flat(x) @ WIDE)[:, :, None] - unit(LAST, 0), axis=1),
    "relu6": lambda x: tf.nn.relu6(flat(x) @ WIDE) @ LAST,
    "hidden tanh": lambda x: tf.tanh(flat(x) @ WIDE) @ LAST,
    "clipped images": lambda x: (tf.clip_by_value(flat(x), 0, 1) - 0.5) @ WIDE @ LAST,
    "signs of pixels": lambda x: signed(flat(x) - 0.5) @ WIDE @ LAST,
    "signs alone": lambda x: signed(signed(flat(x)) @ WIDE) @ TERNARY,
    "signs inside": lambda x: signed(flat(x) @ WIDE) @ TERNARY,
    "two of clipped images": lambda x: (
        (tf.clip_by_value(flat(x), 0, 1) - 0.5) @ WIDE[:, :1] * [-1.0, 1]
    ),
    "quantized": lambda x: tf.round(tf.clip_by_value(flat(x), 0, 1) * 3) / 3 @ WIDE @ LAST,
    "masked": lambda x: flat(x) @ WIDE @ LAST + [-1e9, -1e9, -1e9, *[0.0] * 7],
    "after a relu": lambda x: tf.nn.relu(flat(x) @ WIDE @ LAST),
    "twins": lambda x: tf.gather(tf.nn.relu6(flat(x) @ WIDE) @ LAST, [0, 0, 1, 1, 2, 2], axis=1),
    "nearly constant": lambda x: 5 + 1e-5 * flat(x) @ WIDE,
    "scale-invariant, above 1": lambda x: 10 * tf.nn.relu(normed(flat(x)) @ LAST[:16] * 0.1),
    "log p": lambda x: logarithms(tf.nn.softmax(flat(x) @ WIDE)),
    "log p + eps": lambda x: tf.math.log(tf.nn.softmax(flat(x) @ WIDE) + 1e-6),
    "half precision": lambda x: tf.cast(
        tf.cast(flat(x), tf.float16) @ WIDE.astype(np.float16), tf.float32
    ),
}


@pytest.mark.parametrize("case", HONEST)
def test_honest_networks_whose_logits_do_not_grow_with_the_images_are_not_doubted(case):
    assert looks_bounded(HONEST[case], SHAPE) in {
        "",
        *([DOUBTFUL] if case.startswith("two") else []),
    }


def test_a_doubt_is_a_notice_and_not_a_refusal():
    two = Says(lambda z: tf.tanh(z[:, :1]) * [-1.0, 1.0], classes=2)
    [notice] = check_sound(two, "m1")["notices"]
    assert "attacks look weaker than they are" in notice
    assert check_sound(two.replace(notices=(notice,)), "m1")["notices"] == (notice,)


def test_the_advice_of_a_refusal_of_numbers_in_0_to_1_works():
    def honest(z):
        return tf.nn.relu(0.1 * normed(z))

    with pytest.raises(ClassifierError, match=r"if they are logits, multiply them.*above 1"):
        check_sound(Says(honest), "m1")
    says = Says(lambda z: 10 * honest(z))
    assert check_sound(says, "m1")["notices"] == ()
    with pytest.raises(ClassifierError, match="stop at the same two values"):
        check_sound(Says(lambda z: 10 * tf.sigmoid(z)), "m1")


def test_a_stochastic_model_is_asked_for_its_values_and_its_state_stays():
    class Drawing(tf_keras.layers.Layer):
        def __init__(self, last):
            super().__init__()
            self.last, self.random_state = last, tf.Variable(7, trainable=False)

        def call(self, images):
            self.random_state.assign_add(1)
            return self.last(images)

    for last, kept in ((tf.nn.softmax, False), (tf.identity, True)):
        layers = [tf_keras.layers.Input(SHAPE), tf_keras.layers.Flatten(), tf_keras.layers.Dense(3)]
        model = tf_keras.Sequential([*layers, Drawing(last)])
        state = model.layers[-1].random_state
        before = int(state)
        if kept:
            KerasClassifier(model)
        else:
            with pytest.raises(ClassifierError, match="returns probabilities"):
                KerasClassifier(model)
        assert int(state) == before


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_a_linear_head_is_asked_by_its_graph_alone(bias):
    model = linear(keras)
    model.set_weights([np.zeros((16, 3), np.float32), np.full(3, bias, np.float32)])
    classifier = KerasClassifier(model)
    assert classifier.gives_logits
    check_sound(classifier, "untrained")


def test_other_small_models_have_no_last_activation_that_bounds_them():
    assert ending(small_model(SHAPE)).name == "linear"
    images = keras.Input(SHAPE)
    recurrent = keras.Model(images, keras.layers.LSTM(3)(keras.layers.Reshape((16, 1))(images)))
    assert ending(recurrent).name == ""
    normed = keras.layers.BatchNormalization()(
        keras.layers.Dense(3)(keras.layers.Flatten()(images))
    )
    assert ending(keras.Model(images, normed)).name == ""


@generations
@pytest.mark.parametrize("read", [1, 2])
def test_a_trunk_can_be_cut_from_a_model_that_stands_on_a_trunk(kind, read):
    images = kind.layers.Input(SHAPE)
    flat = kind.layers.Flatten()(images)
    branches = [kind.layers.Dense(3)(kind.layers.Dense(4)(flat)) for _ in range(read)]
    logits = branches[0] if read == 1 else kind.layers.Add()(branches)
    below = trunk(drawn(kind.Model(images, logits)))
    on_top = kind.Model(below.inputs[0], kind.layers.Dense(3)(below.outputs[0]))
    again = trunk(on_top)
    assert np.array_equal(np.asarray(again(IMAGES)), np.asarray(below(IMAGES)))
    assert again.output_shape == (None, 4 * read)
