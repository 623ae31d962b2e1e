"""What is accepted as a classifier, and what is refused."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import small_classifier, small_model
from tfrobust.classifier import CARRIED, Classifier, Traits, Wrapped
from tfrobust.classifiers.checks import check_sound
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.counted import Counted
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError
from tfrobust.registry import create
from tfrobust.testing import grey_images

generations = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras3", "tf_keras"])
SHAPE = (4, 4, 1)


def ending_in(kind, *layers):
    return kind.Sequential([kind.layers.Input(SHAPE), kind.layers.Flatten(), *layers])


@generations
def test_a_model_of_either_generation_is_a_classifier(kind):
    model = small_model(SHAPE, kind=kind)
    classifier = KerasClassifier(model, class_names=("a", "b", "c"))
    assert (classifier.image_shape, classifier.num_classes) == (SHAPE, 3)
    images, labels = grey_images(classifier)
    assert np.allclose(classifier(tf.constant(images)), np.asarray(model(images)))
    crafted = run_attack(create("attacks", "fgsm", eps=0.3), classifier, images, labels)
    assert np.abs(crafted.images - images).max() == pytest.approx(0.3, abs=1e-6)


@generations
def test_dropout_is_off_when_classifying(kind):
    classifier = small_classifier(SHAPE, kind=kind, dropout=0.5)
    images = tf.constant(grey_images(classifier)[0])
    assert np.array_equal(classifier(images), classifier(images))


@generations
@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda k: ending_in(k, k.layers.Dense(1)), r"2 classes or more; received: \(None, 1\)"),
        (
            lambda k: k.Sequential([k.layers.Input((4,)), k.layers.Dense(3)]),
            r"model input: expected \(batch, height, width, channels\).*\(None, 4\)",
        ),
        (
            lambda k: k.Sequential([k.layers.Input((None, None, 1)), k.layers.Conv2D(3, 1)]),
            r"of fixed size; received: \(None, None, None, 1\)",
        ),
        (
            lambda k: k.Sequential([k.layers.Input(SHAPE), k.layers.Conv2D(3, 1)]),
            r"model output: expected \(batch, classes\)",
        ),
        (lambda k: k.Sequential([k.layers.Flatten(), k.layers.Dense(3)]), "never built"),
    ],
    ids=["one class", "flat", "open size", "maps", "unbuilt"],
)
def test_a_model_of_another_form_is_refused(kind, build, complaint):
    with pytest.raises(ClassifierError, match=complaint):
        KerasClassifier(build(kind))


@generations
def test_a_model_of_two_inputs_is_refused(kind):
    inputs = [kind.layers.Input(SHAPE), kind.layers.Input(SHAPE)]
    both = kind.layers.Flatten()(kind.layers.Concatenate()(inputs))
    with pytest.raises(ClassifierError, match=r"model input: expected"):
        KerasClassifier(kind.Model(inputs, kind.layers.Dense(3)(both)))


@generations
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(kind, bad):
    model = small_model(SHAPE, kind=kind)
    weights = model.get_weights()
    weights[0][0, 0] = bad
    model.set_weights(weights)
    with pytest.raises(ClassifierError, match=r"m1: its weights or logits hold NaN or infinity"):
        check_sound(KerasClassifier(model), "m1")


class Says(Classifier):
    """Returns a given answer."""

    def __init__(self, answer):
        super().__init__(image_shape=SHAPE, num_classes=3)
        self.answer = answer

    def __call__(self, images):
        return self.answer(tf.reshape(images, (tf.shape(images)[0], -1)))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (lambda flat: flat[:, :3] * float("nan"), "NaN or infinity"),
        (lambda flat: flat[:, :4], r"expected logits \(8, 3\); received: \(8, 4\)"),
        (lambda flat: tf.nn.softmax(flat[:, :3]), "returns probabilities"),
    ],
)
def test_unsound_logits_are_refused(answer, complaint):
    with pytest.raises(ClassifierError, match=complaint):
        check_sound(Says(answer), "m1")


def test_a_classifier_needs_as_many_names_as_classes():
    with pytest.raises(ClassifierError, match=r"class_names: expected 3 names; received: 2"):
        small_classifier_named(("a", "b"))
    assert small_classifier_named(None).class_names == ("0", "1", "2")


def small_classifier_named(names):
    return KerasClassifier(small_model(SHAPE), class_names=names)


def test_a_wrapper_passes_on_the_traits_that_it_does_not_change():
    inner = small_classifier(SHAPE)
    wrapped = Wrapped(inner, stochastic=True)
    images = tf.zeros((2, *SHAPE))
    assert wrapped.stochastic
    assert wrapped.class_names == inner.class_names
    assert np.array_equal(wrapped(images), inner(images))
    assert set(wrapped.outputs(images)) == {"logits", "probabilities"}


def test_a_wrapper_takes_over_what_its_classifier_carries_and_nothing_else():
    inner = Says(tf.identity).replace(
        source="m/1", reads_bytes=True, megabytes=0.5, notices=("doubtful",), gives_logits=True
    )
    wrapped = Wrapped(inner, passes=3)
    assert wrapped.carried() == inner.carried() | {"passes": 3}
    assert (wrapped.notices, wrapped.gives_logits, wrapped.surrogate) == ((), False, None)
    assert set(CARRIED) <= {field.name for field in dataclasses.fields(Traits)}


@pytest.mark.parametrize("trait", [field.name for field in dataclasses.fields(Traits)])
def test_no_trait_of_a_classifier_can_be_assigned(trait):
    classifier = Wrapped(small_classifier(SHAPE))
    hint = rf"^Wrapped: {trait} is a trait: give it to the constructor, or call \.replace\({trait}="
    with pytest.raises(ClassifierError, match=hint):
        setattr(classifier, trait, None)
    classifier.weight = tf.Variable(1.0)  # TensorFlow still tracks other attributes
    assert any(variable is classifier.weight for variable in classifier.variables)


def test_a_copy_with_other_traits_shares_the_weights_and_leaves_the_first_unchanged():
    first = small_classifier(SHAPE)
    other = first.replace(source="d1/2", class_names=("a", "b", "c"))
    assert other.model is first.model
    assert (first.source, first.class_names) == ("", ("0", "1", "2"))
    assert (other.source, other.class_names) == ("d1/2", ("a", "b", "c"))
    assert first.replace(source="") is first
    with pytest.raises(TypeError, match="has no trait colour"):
        first.replace(colour="red")
    with pytest.raises(ClassifierError, match="class_names: expected 3 names; received: 1"):
        first.replace(class_names=("a",))


def test_the_counter_counts_images_and_only_gradients_that_are_taken():
    counted = Counted(small_classifier(SHAPE))
    images = tf.zeros((5, *SHAPE))
    counted(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = counted(images)
    tape.gradient(logits, images)
    assert (int(counted.queries), int(counted.gradients)) == (10, 5)
    counted.reset()
    assert (int(counted.queries), int(counted.gradients)) == (0, 0)
