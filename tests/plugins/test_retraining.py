"""Retraining on adversarial images whose labels are found by neighbours."""

import json

import keras
import numpy as np
import pytest
import tf_keras

from tfrobust.classifier import KerasClassifier
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.inference import predict
from tfrobust.pipeline import train, train_and_store
from tfrobust.registry import create
from tfrobust.scenario import check_fits
from tfrobust.store import load
from tfrobust.training import Trainer, TrainingOptions
from tfrobust.tuning import check_tunable
from tfrobust.widening import widened
from tfrobust_retraining.neighbours import Neighbours

FGSM = {"attack": "fgsm", "options": {"eps": 0.15}}
NOISE = {"attack": "fooling", "options": {"confidence": 0.9}, "adversarial_images": 300}


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.fixture(scope="module")
def network(scenario):
    return train(create("models", "fully_connected"), scenario, Trainer(TrainingOptions(epochs=5)))


@pytest.fixture(scope="module")
def known(digits):
    return digits["train"]


def retrained(network, scenario, *, say=lambda _: None, epochs=4, **options):
    trainer = Trainer(TrainingOptions(epochs=epochs), say=say)
    return create("defenses", "retraining", **options).apply(network, scenario, trainer)


def accuracy(classifier, images, labels):
    return float((predict(classifier, images).argmax(1) == labels).mean())


def test_neighbours_are_those_of_plain_search_where_all_components_are_kept(known, digits):
    images, labels = known
    others = digits["test"][0][:50]
    found = Neighbours(images, labels, k=1, dimensions=64, seed=0).look_up(others)
    gaps = np.linalg.norm(others.reshape(50, 1, -1) - images.reshape(1, len(images), -1), axis=2)
    assert found.distances == pytest.approx(gaps.min(axis=1), abs=1e-3)
    assert (found.labels == labels[gaps.argmin(axis=1)]).mean() > 0.97


def test_the_most_frequent_class_of_k_neighbours_wins():
    images = np.array([0.0, 0.1, 0.2, 0.9], np.float32).reshape(4, 1, 1, 1)
    images = np.concatenate([images, images], axis=2)
    known = Neighbours(images, np.array([1, 2, 2, 1]), k=3, dimensions=1, seed=0)
    assert known.look_up(images[:1]).labels == [2]


def test_what_components_leave_out_counts_as_distance(known):
    images, labels = known
    few = Neighbours(images, labels, k=1, dimensions=10, seed=0)
    noise = np.random.default_rng(0).uniform(size=(20, 8, 8, 1)).astype(np.float32)
    mirrored = images[:20, :, ::-1]
    assert few.look_up(images[:20]).distances == pytest.approx(0, abs=1e-2)
    assert few.look_up(noise).distances.min() > few.reach(0.999)
    assert few.look_up(mirrored).distances.min() < few.look_up(noise).distances.min()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"k": 2000}, "k: expected at most the 1437 training images; received: 2000"),
        ({"dimensions": 65}, "dimensions: expected at most 64, the rank of 1437 images of 64"),
    ],
)
def test_more_neighbours_or_components_than_there_are_cost_one_line(
    network, scenario, asked, words
):
    with pytest.raises(UsageError, match=words):
        retrained(network, scenario, **FGSM, **asked)


def test_it_labels_by_neighbours_and_learns_what_it_saw(network, scenario, digits):
    after = retrained(network, scenario, **FGSM, epochs=8)
    assert after.found["label_accuracy"] > 0.95 > after.found["accuracy_on_them"]
    assert (after.found["adversarial_images"], after.found["fooling_images"]) == (1437, 0)
    assert after.class_names == network.class_names
    images, labels = digits["test"]
    attack = create("attacks", "fgsm", eps=0.15)
    seen = run_attack(attack, network, images, labels).images
    assert accuracy(after, seen, labels) > accuracy(network, seen, labels) + 0.1
    assert accuracy(after, images, labels) > accuracy(network, images, labels) - 0.03


def test_the_network_that_was_attacked_stays_as_it_was(network, scenario):
    before = [each.copy() for each in network.model.get_weights()]
    retrained(network, scenario, **FGSM, epochs=1)
    assert all(map(np.array_equal, before, network.model.get_weights()))


@pytest.mark.parametrize(
    ("fooling", "names"),
    [
        ({}, ("fooling",)),
        ({"fooling": "clusters", "clusters": 3}, ("fooling 1", "fooling 2", "fooling 3")),
        ({"fooling": "drop"}, ()),
    ],
)
def test_images_of_nothing_go_into_new_classes_or_are_left_out(
    network, scenario, digits, fooling, names
):
    after = retrained(network, scenario, **NOISE, **fooling)
    assert after.class_names[10:] == names
    assert after.found["fooling_images"] == 300
    assert after.found["label_accuracy"] is None
    images, labels = digits["test"]
    assert accuracy(after, images, labels) > accuracy(network, images, labels) - 0.05
    if names:
        attack = create("attacks", "fooling", confidence=0.9)
        noise = run_attack(attack, network, images[:50], labels[:50], targets="next", seed=1).images
        assert (predict(after, noise).argmax(1) >= 10).mean() > 0.7


def test_true_labels_and_the_networks_own_ask_no_neighbours(network, scenario):
    true, own = (
        retrained(network, scenario, **FGSM, labels=labels, epochs=1).found
        for labels in ("true", "network")
    )
    assert true["label_accuracy"] == 1
    assert "fooling_images" not in true
    assert own["label_accuracy"] == own["accuracy_on_them"] < 0.9


def test_more_adversarial_images_than_training_images_are_made_in_turns(network, scenario):
    said = []
    found = retrained(
        network, scenario, attack="pgd", options={"eps": 0.1}, adversarial_images=2000,
        epochs=1, say=said.append,
    ).found  # fmt: skip
    assert found["adversarial_images"] == 2000
    assert said == [
        "retraining: 2000 adversarial images of 1437 training images: each is attacked 1.39 times, "
        "with another seed each time"
    ]


def test_an_attack_that_breaks_nothing_stops_it_and_says_why(network, scenario):
    with pytest.raises(UsageError, match="fgsm changes the class of none of 1000 images"):
        retrained(network, scenario, attack="fgsm", options={"eps": 1e-6})


def test_a_name_that_a_class_has_already_is_refused(network, scenario):
    with pytest.raises(UsageError, match="class name '3': a class of this name exists already"):
        retrained(network, scenario, **NOISE, new_class="3")


def test_from_scratch_the_weights_begin_anew(network, scenario):
    anew = retrained(network, scenario, **FGSM, start="scratch", epochs=0)
    further = retrained(network, scenario, **FGSM, epochs=0)
    same = map(np.array_equal, further.model.get_weights(), network.model.get_weights())
    assert all(same)
    assert not np.array_equal(anew.model.get_weights()[0], network.model.get_weights()[0])


@pytest.mark.parametrize("generation", [keras, tf_keras])
def test_a_wider_network_keeps_its_logits(generation, test_images):
    layers = generation.layers
    inside = generation.Sequential([layers.Flatten(), layers.Dense(8, "relu")])
    model = generation.Sequential([layers.InputLayer((8, 8, 1)), inside, layers.Dense(10)])
    before = KerasClassifier(model)
    wider = widened(before, ["a", "b"], seed=0)
    images = test_images[0][:5]
    assert wider.num_classes == 12
    assert wider.class_names[10:] == ("a", "b")
    assert predict(wider, images)[:, :10] == pytest.approx(predict(before, images), abs=1e-5)


def test_a_network_that_ends_in_no_dense_layer_is_refused_more_classes(scenario):
    flat = [keras.Input((8, 8, 1)), keras.layers.Conv2D(10, 8), keras.layers.Flatten()]
    network = check_tunable(KerasClassifier(keras.Sequential(flat)), "retraining")
    with pytest.raises(
        UsageError, match=r"ends in a dense layer; received: Flatten; .*fooling=drop"
    ):
        create("defenses", "retraining", **FGSM).check(network, scenario)
    after = retrained(network, scenario, **FGSM, fooling="drop", epochs=1)
    assert after.num_classes == 10


def test_it_is_stored_with_its_new_class_and_label_accuracy(scenario, tmp_path):
    made = train_and_store(
        create("models", "fully_connected"), scenario, "f", Trainer(TrainingOptions(epochs=2)),
        [create("defenses", "retraining", **NOISE)], root=tmp_path,
    )  # fmt: skip
    card = json.loads((made.folder / "assets.extra" / "tfrobust.json").read_text())
    assert card["class_names"][-1] == "fooling"
    assert card["defenses"][0]["found"]["fooling_images"] == 300
    again = load(made.folder)
    check_fits(again, scenario, "f")
    assert again.class_names[-1] == "fooling"
    assert again.defenses[0].found["fooling_images"] == 300
