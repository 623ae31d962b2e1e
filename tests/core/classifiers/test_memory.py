"""A classifier that was evaluated and dropped leaves nothing in memory."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from helpers.support import InMemory, python
from tfrobust.classifier import Classifier
from tfrobust.classifiers.custom_gradients import tie_to_graphs
from tfrobust.classifiers.inference import clean_predictions, predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.classifiers.traces import Traces
from tfrobust.data.block_reader import ImageRows
from tfrobust.data.reading import arrays
from tfrobust.evaluation.attack_runs import AttackRuns
from tfrobust.evaluation.blocks.block import Block, BlockImages
from tfrobust.evaluation.blocks.prepared import Prepared
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.judging import Subject
from tfrobust.evaluation.settings import EvaluationSettings
from tfrobust.registry import create
from tfrobust.store.models import export, load

pytestmark = pytest.mark.usefixtures("grappler")  # memory as it is outside of tests

SHAPE = (4, 4, 1)


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_made_here_is_collected():
    """A process that ran many tests takes seconds for each collection of all that it holds."""
    gc.collect()
    gc.freeze()


def network(activation="relu"):
    layers = [keras.Input(SHAPE), keras.layers.Flatten()]
    layers += [keras.layers.Dense(8, activation=activation), keras.layers.Dense(3)]
    return KerasClassifier(keras.Sequential(layers))


def registered():
    return {name for name in ops.gradient_registry.list() if name.startswith("CustomGradient")}


def evaluated(classifier):
    attacks = [create("attacks", "pgd", steps=2), create("attacks", "deepfool", steps=2)]
    evaluate({"d1": classifier}, InMemory(), attacks, limit=8, baselines=())


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_a_classifier_that_was_attacked_and_dropped_is_gone(activation):
    gc.collect()
    tie_to_graphs()
    before = registered()
    classifier = network(activation)
    evaluated(classifier)
    gone = weakref.ref(classifier)
    del classifier
    gc.collect()
    tie_to_graphs()
    gc.collect()
    assert gone() is None
    assert registered() <= before, "TensorFlow's registry keeps the gradients of the traces"


def test_traces_are_no_part_of_a_classifier_and_counting_registers_no_gradient_of_its_own():
    classifier = network()
    count = len(classifier.variables)
    tie_to_graphs()
    before = registered()
    evaluated(classifier)
    assert registered() == before
    assert len(classifier.variables) == count


def test_gradients_work_as_long_as_their_graph_exists(tmp_path):
    classifier = network("silu")

    @tf.function
    def rise(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = called(images)
        return tape.gradient(logits, images)

    called = tf.function(classifier.__call__)
    images = tf.random.stateless_uniform((3, *SHAPE), (0, 0))
    first = rise(images).numpy()
    tie_to_graphs()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        logits = called(images)
    assert np.allclose(tape.gradient(logits, images), first)
    again = load(export(classifier, tmp_path / "1"))
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = again(images)
    assert np.allclose(tape.gradient(logits, images), first, atol=1e-6)


def test_the_least_recently_used_trace_is_dropped():
    class Owner:
        pass

    traces, first, second = Traces(most=2), Owner(), Owner()
    built = []

    def make(what):
        return lambda: built.append(what) or what

    traces.of(first, "a", make("a"))
    traces.of(second, "b", make("b"))
    traces.of(first, "a", make("a again"))
    traces.of(second, "c", make("c"))
    traces.of(first, "a", make("a again"))
    traces.of(second, "b", make("b again"))
    assert built == ["a", "b", "c", "b again"]


def test_the_traces_of_a_dropped_owner_are_dropped():
    class Made:
        pass

    traces = Traces(most=2)
    owner = Classifier(image_shape=SHAPE, num_classes=3)
    kept = weakref.ref(traces.of(owner, "a", Made))
    assert kept() is not None
    del owner
    gc.collect()
    assert kept() is None


def test_a_replaced_classifier_does_not_keep_the_first_alive():
    first = network()
    predict(first, np.zeros((1, *SHAPE), np.float32))
    gone, other = weakref.ref(first), first.replace(source="m/1")
    del first
    gc.collect()
    assert gone() is None
    assert other.source == "m/1"


def test_equal_but_different_classifiers_have_predictions_of_their_own():
    first, second = network(), network()
    images = np.random.default_rng(0).uniform(size=(4, *SHAPE)).astype(np.float32)
    assert not np.array_equal(predict(first, images), predict(second, images))


def test_an_evaluation_keeps_no_images_that_are_not_needed_again():
    images, labels = arrays(InMemory(), "test")
    settings = EvaluationSettings(classifiers={"d": network()}, scenario=InMemory())
    block = BlockImages(Block(0, 64, examples=(1, 5)), lambda: ImageRows(images, labels))
    classifier = network()
    subject = Subject("d1", classifier, clean_predictions(classifier, images))
    attacks = [create("attacks", "fgsm")]
    attacks += [create("attacks", "deepfool", steps=2, eps=eps) for eps in (0.1, 0.2)]
    runs = AttackRuns(settings, block, Prepared(settings, 64))
    attacked = runs.attack_all(subject, attacks)
    assert not runs._crafted
    for rows in attacked:
        assert rows.images is None
        assert rows.examples.base is None, "a view of some keeps all of them"
        assert len(rows.examples) == 2


@pytest.mark.slow
def test_thirty_rounds_of_build_evaluate_and_drop_do_not_grow():
    done = python(
        """
import gc
import keras, psutil
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.registry import create

digits, sizes = create("scenarios", "digits"), []
for _ in range(30):
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(16, 3, activation="silu")]
    layers += [keras.layers.Flatten(), keras.layers.Dense(512), keras.layers.Dense(10)]
    model = KerasClassifier(keras.Sequential(layers))
    attacks = [create("attacks", "pgd", steps=3), create("attacks", "fgsm")]
    evaluate({"d1": model}, digits, attacks, limit=20, baselines=())
    del model
    gc.collect()
    sizes.append(psutil.Process().memory_info().rss)
print(max(sizes[5:]) / sizes[4])
""",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 1.01
