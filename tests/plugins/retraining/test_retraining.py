"""Retraining on adversarial images whose labels are found by neighbours."""

import json

import keras
import numpy as np
import pytest
import tf_keras

from helpers.retraining_runs import FGSM, retrained, retraining, small_network
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import check_fits
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.pipeline.fine_tuning import check_tunable
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.store.models import load
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_retraining.widening import add_classes

NOISE = {"attack": "fooling", "options": {"confidence": 0.9}, "adversarial_images": 300}


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.fixture(scope="module")
def network(scenario):
    return small_network(scenario)


@pytest.fixture(scope="module")
def known(digits):
    return digits["train"]


def accuracy(classifier, images, labels):
    return float((predict(classifier, images).argmax(1) == labels).mean())


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"k": 2000}, "k: expected at most the 1437 training images; received: 2000"),
        ({"dimensions": 64}, "dimensions: expected at most 60, the rank of 1437 images of 64"),
    ],
)
def test_more_neighbours_or_components_than_there_are_cost_one_line(
    network, scenario, asked, words
):
    with pytest.raises(UsageError, match=words):
        retrained(network, scenario, **FGSM, **asked)


def test_retraining_learns_images_labelled_by_neighbours_and_leaves_the_attacked_network(
    network, scenario, digits
):
    before = [weight.copy() for weight in network.model.get_weights()]
    done = retraining(network, scenario, **FGSM, epochs=8)
    assert all(map(np.array_equal, before, network.model.get_weights()))
    assert done.found["label_accuracy"] > 0.95 > done.found["accuracy_on_them"]
    assert (done.found["adversarial_images"], done.found["fooling_images"]) == (1437, 0)
    assert done.classifier.class_names == network.class_names
    images, labels = digits["test"]
    attack = create("attacks", "fgsm", eps=0.15)
    seen = run_attack(attack, network, images, labels).images
    assert accuracy(done.classifier, seen, labels) > accuracy(network, seen, labels) + 0.1
    assert accuracy(done.classifier, images, labels) > accuracy(network, images, labels) - 0.03


@pytest.mark.parametrize(
    ("fooling", "names"),
    [
        ({}, ("fooling",)),
        ({"fooling": "clusters", "clusters": 3}, ("fooling 1", "fooling 2", "fooling 3")),
    ],
)
def test_images_unlike_any_known_one_go_into_new_classes(network, scenario, digits, fooling, names):
    done = retraining(network, scenario, **NOISE, **fooling)
    assert done.classifier.class_names[10:] == names
    assert done.found["fooling_images"] == 300
    assert done.found["label_accuracy"] is None
    images, labels = digits["test"]
    assert accuracy(done.classifier, images, labels) > accuracy(network, images, labels) - 0.05
    attack = create("attacks", "fooling", confidence=0.9)
    noise = run_attack(attack, network, images[:50], labels[:50], targets="next", seed=1).images
    assert (predict(done.classifier, noise).argmax(1) >= 10).mean() > 0.7


def test_images_unlike_any_known_one_are_left_out_and_reported(network, scenario):
    messages = []
    record = retraining(
        network, scenario, **FGSM, fooling="drop", quantile=0.5, epochs=0, log=messages.append
    ).found
    left_out = record["fooling_images"]
    assert 0 < left_out < 1437
    assert messages[0] == (
        f"retraining: {left_out} of 1437 images are like nothing known; they are left out"
    )


def test_a_training_that_would_leave_out_all_images_stops_with_a_reason(network, scenario):
    with pytest.raises(UsageError, match="fooling: all 300 images that fooling makes are like no"):
        retrained(network, scenario, **NOISE, fooling="drop")


# The labels are there before the first epoch; with one, what they lead to is trained.
EPOCHS = pytest.mark.parametrize("epochs", [0, pytest.param(1, marks=pytest.mark.slow)])


@EPOCHS
def test_true_labels_and_predicted_labels_need_no_neighbours(epochs, network, scenario):
    true, own = (
        retraining(network, scenario, **FGSM, labels=labels, epochs=epochs).found
        for labels in ("true", "network")
    )
    assert true["label_accuracy"] == 1
    assert "fooling_images" not in true
    assert own["label_accuracy"] == own["accuracy_on_them"] < 0.9


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"new_class": "3"}, "'3'"),
        ({"new_class": " "}, "' '"),
        ({"new_class": "fooling", "fooling": "clusters"}, "'fooling 2'"),
    ],
)
def test_an_existing_class_name_is_refused_before_anything_is_crafted(
    network, scenario, asked, name, monkeypatch
):
    names = (*scenario.class_names[:-1], "fooling 2")
    monkeypatch.setattr(type(scenario), "class_names", names)
    with pytest.raises(UsageError, match=f"new_class: expected a name .*; received: {name}"):
        create("defenses", "retraining", **FGSM, **asked).check(network, scenario)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"labels": "true", "k": 3}, "k: has an effect with labels=knn only"),
        ({"labels": "network", "fooling": "drop"}, "fooling: has an effect with labels=knn only"),
        ({"clusters": 4}, "clusters: has an effect with fooling=clusters only"),
        (
            {"new_class": "x", "fooling": "drop"},
            "new_class: has an effect with fooling=class or clus",
        ),
        ({"labels": "true", "fooling": "clusters"}, "fooling: has an effect with labels=knn only"),
        ({"targets": "next"}, "targets: fgsm is not targeted; leave it out"),
        ({"attack": "gap", "options": {"target": 3}, "targets": "next"}, "gap was given one tar"),
        (NOISE | {"labels": "true"}, "labels: what fooling makes shows nothing, so no label is t"),
    ],
)
def test_options_without_effect_are_refused(network, scenario, asked, words):
    with pytest.raises(UsageError, match=words):
        create("defenses", "retraining", **(FGSM | asked)).check(network, scenario)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"attack": "fgsm", "options": {"eps": 5}}, "fgsm: eps: no two images of shape"),
        ({"attack": "reverse_ifgsm"}, "'reverse_ifgsm', which helps the classifier; take another"),
        ({"attack": "pgd", "options": {"region": "background"}}, "which asks for boxes"),
    ],
)
def test_attacks_that_cannot_be_run_are_refused_before_anything_is_trained(
    network, scenario, asked, words
):
    with pytest.raises(UsageError, match=words):
        create("defenses", "retraining", **asked).check(network, scenario)


def test_an_attack_by_gradients_is_refused_without_gradients(network, scenario):
    blind = KerasClassifier(network.model, differentiable=False)
    with pytest.raises(UsageError, match="gradients"):
        create("defenses", "retraining", **FGSM).check(blind, scenario)


@EPOCHS
@pytest.mark.slow
def test_a_second_retraining_keeps_the_new_class_and_adds_others(epochs, network, scenario):
    once = retrained(network, scenario, **NOISE, epochs=epochs)
    again = retrained(once, scenario, **NOISE, epochs=epochs)
    more = retrained(once, scenario, **NOISE, epochs=epochs, new_class="noise")
    assert again.class_names == once.class_names == (*network.class_names, "fooling")
    assert more.class_names == (*once.class_names, "noise")


@pytest.mark.slow
def test_without_their_originals_fewer_images_find_their_label(network, scenario):
    known = retraining(network, scenario, **FGSM, epochs=0).found
    unknown = retraining(network, scenario, **FGSM, epochs=0, originals="unknown").found
    wild = known["label_accuracy_without_originals"]
    assert known["label_accuracy"] > wild > 0.9
    assert unknown["label_accuracy"] == unknown["label_accuracy_without_originals"]
    assert unknown["label_accuracy"] == pytest.approx(wild, abs=0.01)


@pytest.mark.slow
def test_starting_from_scratch_draws_new_weights(network, scenario):
    fresh = retrained(network, scenario, **FGSM, start="scratch", epochs=0)
    further = retrained(network, scenario, **FGSM, epochs=0)
    same = map(np.array_equal, further.model.get_weights(), network.model.get_weights())
    assert all(same)
    assert not np.array_equal(fresh.model.get_weights()[0], network.model.get_weights()[0])


@pytest.mark.parametrize("generation", [keras, tf_keras])
def test_a_wider_network_keeps_its_logits(generation, test_images):
    layers = generation.layers
    inside = generation.Sequential([layers.Flatten(), layers.Dense(8, "relu")])
    model = generation.Sequential([layers.InputLayer((8, 8, 1)), inside, layers.Dense(10)])
    before = KerasClassifier(model)
    wider = add_classes(before, ["a", "b"], seed=0)
    images = test_images[0][:5]
    assert wider.num_classes == 12
    assert wider.class_names[10:] == ("a", "b")
    assert predict(wider, images)[:, :10] == pytest.approx(predict(before, images), abs=1e-5)


@EPOCHS
def test_a_network_that_ends_in_no_dense_layer_is_refused_more_classes(epochs, scenario):
    flat = [keras.Input((8, 8, 1)), keras.layers.Conv2D(10, 8), keras.layers.Flatten()]
    network = check_tunable(KerasClassifier(keras.Sequential(flat)), "retraining")
    with pytest.raises(
        UsageError, match=r"ends in a dense layer; received: Flatten; .*fooling=drop"
    ):
        create("defenses", "retraining", **FGSM).check(network, scenario)
    after = retrained(network, scenario, **FGSM, fooling="drop", epochs=epochs)
    assert after.num_classes == 10


def test_a_retrained_network_is_stored_with_its_new_class_and_label_accuracy(scenario, tmp_path):
    trained = train_and_store(
        create("models", "fully_connected"), scenario, "f", Trainer(TrainingOptions(epochs=4)),
        [create("defenses", "retraining", **NOISE)], root=tmp_path,
    )  # fmt: skip
    card = json.loads((trained.folder / "assets.extra" / "tfrobust.json").read_text())
    assert card["class_names"][-1] == "fooling"
    assert card["defenses"][0]["found"]["fooling_images"] == 300
    again = load(trained.folder)
    check_fits(again, scenario, "f")
    assert again.class_names[-1] == "fooling"
    assert again.defenses[0].found["fooling_images"] == 300
