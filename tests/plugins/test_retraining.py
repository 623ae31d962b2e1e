"""Retraining on adversarial images whose labels are found by neighbours."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from tfrobust.attack import Attack, Threat
from tfrobust.classifier import KerasClassifier
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.inference import predict
from tfrobust.options import option, plugin
from tfrobust.pipeline import train, train_and_store
from tfrobust.registry import create
from tfrobust.scenario import arrays, check_fits
from tfrobust.store import load
from tfrobust.training import Trainer, TrainingOptions
from tfrobust.tuning import check_tunable
from tfrobust.widening import widened
from tfrobust_retraining import crafting
from tfrobust_retraining.retraining import Retraining

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


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"new_class": "3"}, "'3'"),
        ({"new_class": " "}, "' '"),
        ({"new_class": "fooling", "fooling": "clusters"}, "'fooling 2'"),
    ],
)
def test_a_name_that_a_class_has_already_is_refused_before_anything_is_made(
    network, scenario, asked, name, monkeypatch
):
    names = (*scenario.class_names[:-1], "fooling 2")
    monkeypatch.setattr(type(scenario), "class_names", names)
    with pytest.raises(UsageError, match=f"new_class: expected a name .*; received: {name}"):
        create("defenses", "retraining", **FGSM, **asked).check(network, scenario)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"labels": "true", "k": 3}, "k: has no effect with labels=true"),
        ({"labels": "network", "fooling": "drop"}, "fooling: has no effect with labels=network"),
        ({"clusters": 4}, "clusters: has no effect with labels=knn, fooling=class"),
    ],
)
def test_options_without_effect_are_refused(network, scenario, asked, words):
    with pytest.raises(UsageError, match=words):
        create("defenses", "retraining", **FGSM, **asked).check(network, scenario)


def test_retrained_once_more_it_keeps_its_new_class_and_gets_others(network, scenario):
    once = retrained(network, scenario, **NOISE, epochs=1)
    again = retrained(once, scenario, **NOISE, epochs=1)
    more = retrained(once, scenario, **NOISE, epochs=1, new_class="noise")
    assert again.class_names == once.class_names == (*network.class_names, "fooling")
    assert more.class_names == (*once.class_names, "noise")


def test_without_their_originals_fewer_images_find_their_label(network, scenario):
    known = retrained(network, scenario, **FGSM, epochs=0).found
    unknown = retrained(network, scenario, **FGSM, epochs=0, originals="unknown").found
    wild = known["label_accuracy_without_originals"]
    assert known["label_accuracy"] > wild > 0.9
    assert unknown["label_accuracy"] == unknown["label_accuracy_without_originals"]
    assert unknown["label_accuracy"] == pytest.approx(wild, abs=0.01)


@plugin
class Careless(Attack):
    """Makes images of which some are none."""

    share: float = option("of them", default=0.5)

    @property
    def threat(self):
        return Threat("none", None)

    def __call__(self, classifier, images, labels, *, seed):
        broken = tf.random.stateless_uniform((tf.shape(images)[0],), (1, 2)) < self.share
        dark = tf.where(broken, np.nan, 0.0)
        return images * 0.3 + dark[:, None, None, None]


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_what_is_no_image_is_left_out_and_told(network, scenario, share, monkeypatch):
    said = []
    monkeypatch.setattr(Retraining, "collected_attack", lambda _: Careless(share=share))
    if share == 1:
        with pytest.raises(UsageError, match="makes no images"):
            retrained(network, scenario, fooling="drop", epochs=1)
        return
    after = retrained(network, scenario, fooling="drop", epochs=1, say=said.append)
    assert 300 < after.found["broken_images"] < 1100
    assert "have pixels that are no numbers in [0, 1]; they are left out" in said[0]
    assert np.isfinite(predict(after, scenario_images(scenario))).all()


def scenario_images(scenario):
    return arrays(scenario, "test")[0][:20]


def test_an_interrupted_collection_goes_on(network, scenario, tmp_path, monkeypatch):
    monkeypatch.setattr(crafting, "_PART", 600)
    images, labels = arrays(scenario, "train")
    how = create("defenses", "retraining", **FGSM, adversarial_images=2000)

    def made(trainer):
        return crafting.Crafting(how, network, images, labels, trainer).made()

    whole = made(Trainer(TrainingOptions()))
    calls = []
    real = crafting.run_attack

    def failing(*args, **options):
        calls.append(options["seed"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(crafting, "run_attack", failing)
    with pytest.raises(KeyboardInterrupt):
        made(Trainer(TrainingOptions(), workspace=tmp_path))
    again = made(Trainer(TrainingOptions(), workspace=tmp_path))
    assert calls == [0, 0, 0, 0, 1]  # of 600, 600, 237, and 563 in a second turn; two were kept
    np.testing.assert_array_equal(again.images, whole.images)
    np.testing.assert_array_equal(again.rows, whole.rows)


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
        create("models", "fully_connected"), scenario, "f", Trainer(TrainingOptions(epochs=4)),
        [create("defenses", "retraining", **NOISE)], root=tmp_path,
    )  # fmt: skip
    card = json.loads((made.folder / "assets.extra" / "tfrobust.json").read_text())
    assert card["class_names"][-1] == "fooling"
    assert card["defenses"][0]["found"]["fooling_images"] == 300
    again = load(made.folder)
    check_fits(again, scenario, "f")
    assert again.class_names[-1] == "fooling"
    assert again.defenses[0].found["fooling_images"] == 300
