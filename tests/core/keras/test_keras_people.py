"""From a Keras model to a robust accuracy: heads, ranges, labels, datasets, both generations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from helpers.support import InMemory, noise, small_classifier, small_model
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.evaluation.evaluator import evaluate as evaluate_classifiers
from tfrobust.keras import RobustAccuracy, attack, evaluate
from tfrobust.registry import create

X, Y = noise(1, 64)
KINDS = pytest.mark.parametrize("kind", [keras, tf_keras], ids=["keras 3", "tf_keras"])


@KINDS
def test_a_softmax_head_gives_the_figures_of_its_logits(kind):
    plain, softmax = small_model(kind=kind), small_model(kind=kind, softmax=True)
    softmax.set_weights(plain.get_weights())
    expected = evaluate(plain, X, Y, "pgd", eps=0.2, steps=5)
    assert repr(evaluate(softmax, X, Y, "pgd", eps=0.2, steps=5)) == repr(expected)
    assert expected.evaluations[0].worst_case.accuracy < expected.evaluations[0].clean.accuracy


def test_figures_are_those_of_the_core():
    model = small_model()
    found = evaluate(model, X, Y, ["fgsm", "cw_l2"], eps={"linf": [0.1, 0.2], "l2": [0.5]})
    scenario = InMemory(images=64)
    attacks = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.2)]
    attacks.append(create("attacks", "cw_l2", eps=0.5))
    images, labels = arrays(scenario, "test")
    assert np.array_equal(images, X)
    assert np.array_equal(labels, Y)
    own = evaluate_classifiers({"model": small_classifier()}, scenario, attacks).results
    mine, theirs = found.to_pandas(), own.to_pandas()
    assert mine.accuracy.tolist() == theirs.accuracy.tolist()


@pytest.mark.parametrize(
    "given",
    [
        (X, Y[:, None]),
        (X, np.eye(3)[Y]),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(10),),
        (tf.data.Dataset.from_tensor_slices((X, np.eye(3)[Y])),),
    ],
    ids=["columns", "one-hot", "batched", "single"],
)
def test_labels_and_datasets_of_every_form_are_the_same_images(given):
    model = small_model()
    expected = attack(model, X, Y, "fgsm", eps=0.1)
    assert np.array_equal(attack(model, *given, attack="fgsm", eps=0.1), expected)
    assert np.abs(expected - X).max() == pytest.approx(0.1, abs=1e-6)


def test_pixels_of_another_range_are_attacked_in_that_range():
    inner, x = small_model(), np.rint(X * 255).astype(np.uint8)
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Rescaling(1 / 255), inner])
    found = attack(model, x, Y, "fgsm", eps=8 / 255, pixel_range=(0, 255))
    own = attack(inner, (x / np.float32(255)), Y, "fgsm", eps=8 / 255)
    np.testing.assert_allclose(found, own * 255, atol=1e-2)
    assert found.max() <= 255
    with pytest.raises(DataError, match=r"pixel_range=\(0, 255\)"):
        attack(model, x, Y)


@KINDS
@pytest.mark.parametrize("softmax", [False, True])
def test_the_callback_logs_the_accuracy_of_the_weights_of_each_epoch(kind, softmax):
    model = small_model(kind=kind, softmax=softmax)
    loss = kind.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(optimizer=kind.optimizers.SGD(0.5), loss=loss)
    watch = RobustAccuracy((X, Y), "fgsm", eps=0.05, limit=40)
    later = RobustAccuracy((X, Y), ["fgsm", "pgd"], eps=0.05, every=2, name="both", steps=3)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[watch, later]).history
    assert len(history["robust_accuracy"]) == 2
    assert len(history["both"]) == 1
    results = evaluate(model, X, Y, "fgsm", eps=0.05, limit=40)
    assert history["robust_accuracy"][-1] == pytest.approx(
        results.evaluations[0].worst_case.accuracy
    )
    assert 0 < history["robust_accuracy"][-1] < 1
    assert watch.measure() == history["robust_accuracy"][-1]


def test_a_callback_that_is_used_again_leaves_the_first_model_alone():
    first, second = small_model(), small_model()
    second.set_weights([2 * weight for weight in second.get_weights()])
    before = first.get_weights()
    watch = RobustAccuracy((X, Y), "fgsm", eps=0.1)
    for model in (first, second):
        watch.set_model(model)
        assert watch.measure() == pytest.approx(
            evaluate(model, X, Y, "fgsm", eps=0.1).evaluations[0].worst_case.accuracy
        )
    assert all(np.array_equal(*pair) for pair in zip(before, first.get_weights(), strict=True))


def test_the_budget_of_an_attack_that_minimises_a_distance_counts():
    model = small_model()
    expected = evaluate(model, X, Y, "deepfool", eps=0.05, norm="linf").evaluations[0]
    watch = RobustAccuracy((X, Y), "deepfool", eps=0.05, norm="linf")
    watch.set_model(model)
    assert watch.measure() == pytest.approx(expected.worst_case.accuracy)
    found = attack(model, X, Y, "deepfool", eps=0.05, norm="linf")
    assert np.abs(found - X).max() <= 0.05 + 1e-6


def test_a_scenario_is_watched_on_its_validation_split():
    scenario = InMemory(images=30, with_validation=True)
    model = small_model()
    watch = RobustAccuracy(scenario, "fgsm", eps=0.1)
    watch.set_model(model)
    images, labels = arrays(scenario, "validation")
    own = evaluate(model, images, labels, "fgsm", eps=0.1)
    assert watch.measure() == pytest.approx(own.evaluations[0].worst_case.accuracy)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: evaluate(small_model(), X), "y: expected the labels of x"),
        (lambda: evaluate(small_model(), X, Y, []), "attack: expected one or more"),
        (lambda: evaluate(small_model(), X, Y, "pdg"), "did you mean 'pgd'"),
        (lambda: attack(small_model(), X, Y, ["fgsm", "pgd"]), "expected one attack"),
        (lambda: RobustAccuracy((X, Y), every=0), "every: expected 1 or more"),
        (lambda: RobustAccuracy((X, Y, Y)), "a tuple of 3"),
        (
            lambda: evaluate(small_model(), tf.data.Dataset.from_tensor_slices(X)),
            "a dataset of pairs of images and labels",
        ),
        (
            lambda: evaluate(small_model(), tf.data.Dataset.from_tensor_slices((X, Y)), Y),
            "a dataset has its own labels",
        ),
    ],
)
def test_a_mistake_is_named(call, says):
    with pytest.raises(UsageError, match=says):
        call()
