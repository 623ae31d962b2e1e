"""SavedModels as others write them: which are classifiers, which are refused, and the way out."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust import store
from tfrobust.classifiers.loading import LoadOptions
from tfrobust.classifiers.saved_model.flattening import flat_graph
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError
from tfrobust.registry import create
from tfrobust.testing.adapters import gradient_of

pytestmark = pytest.mark.usefixtures("grappler")  # graphs that were exported, as they are served

SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(1).uniform(size=(6, *SHAPE)).astype(np.float32)
PIXELS = tf.TensorSpec((None, *SHAPE), tf.float32, name="images")
TO_LOGITS = LoadOptions(to_logits=True)


class Net(tf.Module):
    """One hidden layer, whose weights are variables."""

    def __init__(self):
        super().__init__()
        draw = np.random.default_rng(0)
        self.first = tf.Variable(draw.normal(size=(16, 8)).astype(np.float32))
        self.last = tf.Variable(draw.normal(size=(8, 3)).astype(np.float32))

    def __call__(self, images):
        flat = tf.reshape(tf.cast(images, tf.float32), (-1, 16))
        return tf.tanh(flat @ self.first) @ self.last


NET = Net()


def saved(folder, answer, *, spec=PIXELS, signature="serving_default", **others):
    """Save a function of images under a signature, and other functions under others."""
    module = tf.Module()
    module.net = NET
    signatures = {signature: tf.function(answer, input_signature=[spec], autograph=False)}
    for name, function in others.items():
        signatures[name] = tf.function(function, input_signature=[PIXELS], autograph=False)
    tf.saved_model.save(module, str(folder), signatures)
    return folder


def of(shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype, name="images")


WORK = {
    "half": {"answer": lambda x: {"logits": tf.cast(NET(x), tf.float16)}},
    "bfloat16": {"answer": lambda x: {"logits": tf.cast(NET(x), tf.bfloat16)}},
    "double": {"answer": lambda x: {"logits": tf.cast(NET(x), tf.float64)}},
    "images of half": {"answer": lambda x: {"z": NET(x)}, "spec": of((None, *SHAPE), tf.float16)},
    "images of double": {
        "answer": lambda x: {"z": NET(x)},
        "spec": of((None, *SHAPE), tf.float64),
    },
    "only signature": {"answer": lambda x: {"z": NET(x)}, "signature": "predict"},
    "only fitting signature": {
        "answer": lambda x: {"z": NET(x)},
        "signature": "predict",
        "embed": lambda images: {"e": tf.reduce_sum(images, (1, 2, 3))},
    },
    "labels too": {"answer": lambda x: {"scores": NET(x), "label": tf.argmax(NET(x), 1)}},
    "one number too": {
        "answer": lambda x: {"scores": NET(x), "sure": tf.reduce_max(NET(x), 1, keepdims=True)}
    },
    "probabilities too": {
        "answer": lambda x: {"logits": NET(x), "probabilities": tf.nn.softmax(NET(x))}
    },
    "unknown class count": {
        "answer": lambda x: {"z": tf.reshape(NET(x), (tf.shape(x)[0], -1))},
    },
    "unknown rank": {
        "answer": lambda x: {
            "z": tf.reshape(NET(x), tf.concat([tf.shape(x)[:1], tf.shape(NET.last)[1:]], 0))
        },
    },
}


ATTACKED = {"half", "images of double", "only fitting signature", "unknown rank"}


@pytest.mark.parametrize("case", WORK)
def test_a_function_from_images_to_logits_is_a_classifier(case, tmp_path):
    loaded = store.load(saved(tmp_path / "m", **WORK[case]))
    assert (loaded.image_shape, loaded.num_classes) == (SHAPE, 3)
    logits = loaded(tf.constant(IMAGES))
    assert logits.dtype == tf.float32
    assert np.allclose(logits, NET(IMAGES), atol=0.05)
    assert np.allclose(gradient_of(loaded, IMAGES), gradient_of(NET, IMAGES), atol=0.05)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c in ATTACKED else pytest.mark.slow) for c in WORK]
)
def test_such_a_function_is_attacked(case, tmp_path):
    loaded = store.load(saved(tmp_path / "m", **WORK[case]))
    labels = np.argmax(loaded(tf.constant(IMAGES)), 1)
    crafted = run_attack(create("attacks", "fgsm"), loaded, IMAGES, labels)
    assert np.abs(crafted.images - IMAGES).max() == pytest.approx(0.1, abs=1e-6)


def test_an_open_size_is_taken_from_the_scenario(tmp_path):
    folder = saved(tmp_path / "m", lambda x: {"z": NET(x)}, spec=of((None, None, None, 1)))
    with pytest.raises(ClassifierError, match=r"images of a fixed size.*name a scenario.*image_sh"):
        store.load(folder)
    loaded = store.load(folder, options=LoadOptions(image_shape=SHAPE))
    assert np.allclose(loaded(tf.constant(IMAGES)), NET(IMAGES), atol=1e-6)


REFUSED = {
    "two outputs": (
        {"answer": lambda x: {"a": NET(x), "b": NET(x)}},
        r"output 'logits'.*received: a float32 \(None, 3\), b.*export the logits alone",
    ),
    "labels": (
        {"answer": lambda x: {"logits": tf.argmax(NET(x), 1)}},
        r"output 'logits'.*received: logits int64.*export the logits alone",
    ),
    "maps": (
        {"answer": lambda x: {"z": tf.reshape(NET(x), (-1, 1, 3))}},
        r"output 'logits'.*received: z float32 \(None, 1, 3\)",
    ),
    "two inputs to choose": (
        {
            "answer": lambda x: {"z": NET(x)},
            "signature": "a",
            "b": lambda images: {"z": NET(images)},
        },
        r"no signature 'serving_default'; received: a, b; save it with.*signatures",
    ),
    "nothing that fits": (
        {"answer": lambda x: {"z": tf.reduce_sum(NET(x))}, "signature": "total"},
        r"no signature 'serving_default'; received: total",
    ),
    "flat images": (
        {"answer": lambda x: {"z": NET(x)}, "spec": of((None, 16))},
        r"one float32 input \(batch, height, width, channels\).*received: images float32",
    ),
    "bytes": (
        {"answer": lambda x: {"z": NET(x)}, "spec": of((None, *SHAPE), tf.uint8)},
        r"one float32 input.*received: images uint8.*float32 images.*--pixel-range 0,255",
    ),
    "a batch of one": (
        {"answer": lambda x: {"z": NET(x)}, "spec": of((1, *SHAPE))},
        r"batch left open.*received: images float32 \(1, 4, 4, 1\).*TensorSpec\(\(None",
    ),
    "minus infinity": (
        {"answer": lambda x: {"z": tf.add(NET(x), [0.0, -np.inf, 0.0])}},
        r"finite logits; received: -inf for every image in classes 1; mask them with.*-1e4",
    ),
    "softmax": ({"answer": lambda x: {"p": tf.nn.softmax(NET(x))}}, r"ends in a softmax.*--to-l"),
    "sigmoid": ({"answer": lambda x: {"p": tf.sigmoid(NET(x))}}, r"ends in a sigmoid.*--to-logits"),
    "rounded softmax": (
        {"answer": lambda x: {"p": tf.nn.softmax(tf.cast(NET(x), tf.bfloat16))}},
        r"ends in a softmax.*--to-logits",
    ),
    "softmax by hand": (
        {"answer": lambda x: {"p": tf.exp(NET(x)) / tf.reduce_sum(tf.exp(NET(x)), 1)[:, None]}},
        r"returns probabilities.*--to-logits",
    ),
    "one number": (
        {"answer": lambda x: {"z": NET(x)[:, :1]}},
        r"2 classes or more; received: \(None, 1\).*--to-logits",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_outputs_are_refused_with_the_way_out(case, tmp_path):
    arguments, complaint = REFUSED[case]
    with pytest.raises(ClassifierError, match=complaint) as refusal:
        store.load(saved(tmp_path / "m", **arguments))
    assert "\n" not in str(refusal.value)


def test_a_saved_model_of_two_inputs_is_refused_and_the_advice_is_right(tmp_path):
    module = tf.Module()
    module.net = NET
    two = [PIXELS, tf.TensorSpec((), tf.bool, name="training")]
    call = tf.function(lambda x, _: {"z": NET(x)}, input_signature=two, autograph=False)
    tf.saved_model.save(module, str(tmp_path / "m"), {"serving_default": call})
    with pytest.raises(ClassifierError, match=r"training bool.*export a function of the images al"):
        store.load(tmp_path / "m")
    alone = saved(tmp_path / "n", lambda x: call(x, tf.constant(False)))
    assert store.load(alone).num_classes == 3


def test_a_saved_model_without_signatures_says_that_there_are_none(tmp_path):
    tf.saved_model.save(NET, str(tmp_path / "m"))
    with pytest.raises(ClassifierError, match=r"received: none; save it with tf.saved_model.save"):
        store.load(tmp_path / "m")
    module = tf.function(lambda x: {"z": NET(x)}, input_signature=[PIXELS], autograph=False)
    tf.saved_model.save(NET, str(tmp_path / "n"), signatures={"serving_default": module})
    assert store.load(tmp_path / "n").num_classes == 3  # as the message says


REMEDIES = {
    "two outputs": {"answer": lambda x: {"logits": NET(x), "b": NET(x)}},
    "labels": {"answer": lambda x: {"logits": NET(x)}},
    "bytes": {"answer": lambda x: {"z": NET(tf.cast(x, tf.float32))}},
    "a batch of one": {"answer": lambda x: {"z": NET(x)}, "spec": of((None, *SHAPE))},
    "minus infinity": {"answer": lambda x: {"z": tf.add(NET(x), [0.0, -1e4, 0.0])}},
    "softmax": {"answer": lambda x: {"z": NET(x)}},
}


@pytest.mark.parametrize("case", REMEDIES)
def test_the_advice_of_a_refusal_works(case, tmp_path):
    bytes_too = LoadOptions(pixel_range=(0, 255) if case == "bytes" else (0, 1))
    loaded = store.load(saved(tmp_path / "m", **REMEDIES[case]), options=bytes_too)
    shown = 255 * IMAGES if case == "bytes" else IMAGES
    expected = np.asarray(NET(shown)) + ([0, -1e4, 0] if case == "minus infinity" else 0)
    assert np.allclose(loaded(tf.constant(IMAGES)), expected, atol=1e-3)


CONVERTED = {
    "softmax": (lambda x: tf.nn.softmax(NET(x)), "its last softmax is left out"),
    "sigmoid": (lambda x: tf.sigmoid(NET(x)), "its last sigmoid is left out"),
    "cast": (
        lambda x: tf.cast(tf.nn.softmax(tf.cast(NET(x), tf.bfloat16)), tf.float32),
        "its last softmax is left out",
    ),
    "in a function": (
        tf.function(lambda x: tf.identity(tf.nn.softmax(tf.function(NET.__call__)(x)))),
        "its last softmax is left out",
    ),
    "2s-1": (lambda x: 2 * tf.sigmoid(NET(x)) - 1, "its last sigmoid is left out"),
    "1-s": (lambda x: 1 - tf.sigmoid(-NET(x)), "its last sigmoid is left out"),
    "percent": (lambda x: 100.0 * tf.nn.softmax(NET(x)), "its last softmax is left out"),
    "a share": (lambda x: 0.01 + tf.nn.softmax(NET(x)) / 2, "its last softmax is left out"),
    "atan": (lambda x: -tf.atan(-NET(x)), "its last atan is left out"),
    "erf": (lambda x: tf.math.erf(NET(x)), "its last erf is left out"),
    "by hand": (
        lambda x: tf.exp(NET(x)) / tf.reduce_sum(tf.exp(NET(x)), 1)[:, None],
        "its logits are the logarithms of its probabilities",
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_logits_are_taken_before_the_last_activation(case, tmp_path):
    answer, notice = CONVERTED[case]
    with pytest.raises(ClassifierError, match=r"logits"):
        store.load(saved(tmp_path / "m", lambda x: {"p": answer(x)}))
    loaded = store.load(tmp_path / "m", options=TO_LOGITS)
    assert loaded.notices == (notice,)
    logits = np.asarray(loaded(tf.constant(IMAGES)))
    expected = np.asarray(NET(IMAGES))
    if case == "by hand":
        logits, expected = (z - z[:, :1] for z in (logits, expected))
    assert np.allclose(logits, expected, atol=0.05 if case == "cast" else 1e-5)
    outputs = loaded.outputs(tf.constant(IMAGES))
    assert np.allclose(outputs["probabilities"], tf.nn.softmax(outputs["logits"]), atol=1e-6)
    assert set(outputs) == {"logits", "probabilities"}


def test_logarithms_of_confident_probabilities_are_logits(tmp_path):
    def answer(images):
        z = tf.reshape(images, (-1, 16)) @ NET.first[:, :3]
        z = tf.exp(80 * z / (1 + tf.abs(z)))
        return {"p": z / tf.reduce_sum(z, 1, keepdims=True)}

    loaded = store.load(saved(tmp_path / "m", answer), options=TO_LOGITS)
    assert loaded.notices == ("its logits are the logarithms of its probabilities",)
    store.export(loaded, tmp_path / "e" / "1")
    assert store.load(tmp_path / "e" / "1").num_classes == 3


def test_noise_does_not_keep_an_activation_from_being_left_out(tmp_path):
    def answer(images):
        return {"p": tf.sigmoid(NET(images + tf.random.normal(tf.shape(images))))}

    loaded = store.load(saved(tmp_path / "m", answer), options=TO_LOGITS)
    assert loaded.notices == ("its last sigmoid is left out",)
    assert loaded.stochastic


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (lambda x: NET(x) / 2.0 + 1, "linear"),
        (lambda x: 1.0 / NET(x), ""),
        (lambda x: NET(x) * [1.0, 2, 3], ""),
    ],
)
def test_constants_behind_a_linear_operation_leave_logits(answer, name, tmp_path):
    folder = saved(tmp_path / "m", lambda x: {"z": answer(x)})
    graph = flat_graph(tf.saved_model.load(str(folder)).signatures["serving_default"])
    assert graph.ending("z")[0] == name


@tf.custom_gradient
def sign(x):
    return tf.sign(x), lambda upstream: upstream


def test_a_network_with_custom_gradients_is_not_cut(tmp_path):
    def answer(last):
        return lambda x: {"p": last(tf.reshape(sign(x - 0.5), (-1, 16)) @ NET.first[:, :3])}

    module = tf.Module()
    module.net = NET
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=True)
    for name, last in (("softmax", tf.nn.softmax), ("sigmoid", tf.sigmoid)):
        call = tf.function(answer(last), input_signature=[PIXELS], autograph=False)
        signatures = {"serving_default": call}
        tf.saved_model.save(module, str(tmp_path / name), signatures, options)
    loaded = store.load(tmp_path / "softmax", options=TO_LOGITS)
    assert loaded.notices == ("its logits are the logarithms of its probabilities",)
    crafted = run_attack(create("attacks", "fgsm"), loaded, IMAGES, np.zeros(6, np.int64))
    assert np.abs(crafted.images - IMAGES).max() == pytest.approx(0.1, abs=1e-6)
    with pytest.raises(ClassifierError, match=r"what its last sigmoid reads cannot be taken out"):
        store.load(tmp_path / "sigmoid", options=TO_LOGITS)


@pytest.mark.parametrize("last", [tf.identity, tf.sigmoid])
def test_one_number_is_two_logits_on_request(last, tmp_path):
    folder = saved(tmp_path / "m", lambda x: {"p": last(NET(x)[:, :1])})
    loaded = store.load(folder, options=TO_LOGITS)
    assert loaded.notices[0].endswith("its one output z is judged as two logits, 0 and z")
    logits = np.asarray(loaded(tf.constant(IMAGES)))
    assert np.allclose(logits[:, 0], 0)
    assert np.allclose(logits[:, 1], np.asarray(NET(IMAGES))[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("answer", "reads"),
    [
        (lambda x: NET(x / 255.0), True),
        (lambda x: NET(x * (1 / 127.5) - 1.0), True),
        (lambda x: NET(tf.identity(x) / tf.constant(255.0)), True),
        (NET, False),
        (lambda x: NET(x * 2.0 - 1.0), False),
        (lambda x: NET(x) / 255.0, False),
    ],
)
def test_a_first_step_that_rescales_bytes_is_noticed(answer, reads, tmp_path):
    loaded = store.load(saved(tmp_path / "m", lambda x: {"z": answer(x)}))
    assert loaded.reads_bytes is reads


def test_a_graph_of_tensorflow_1_is_flattened(tmp_path):
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        images = v1.placeholder(tf.float32, (None, *SHAPE), name="x")
        weights = v1.get_variable("w", initializer=np.ones((16, 3), np.float32))
        p = tf.nn.softmax(tf.reshape(images, (-1, 16)) @ weights)
        session.run(v1.global_variables_initializer())
        inputs, outputs = {"x": images}, {"p": p}
        v1.saved_model.simple_save(session, str(tmp_path / "m"), inputs, outputs)
    loaded = store.load(tmp_path / "m", options=TO_LOGITS)
    assert loaded.notices == ("its last softmax is left out",)
    graph = flat_graph(tf.saved_model.load(str(tmp_path / "m")).signatures["serving_default"])
    assert graph.ending("p")[0] == "softmax"
    assert np.allclose(loaded(tf.constant(IMAGES)), IMAGES.sum((1, 2, 3))[:, None], atol=1e-5)
