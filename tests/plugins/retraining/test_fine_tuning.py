"""Fine-tuning: a copy learns the new scene, and the network does not change."""

import numpy as np
import pytest

from helpers.support import InMemory
from tfrobust import store
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import train
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.reload import network_of, stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, defense_checks
from tfrobust.training.trainer import Trainer, TrainingOptions


def fine_tuning(**options):
    return create("defenses", "fine_tuning", **options)


@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_fine_tuning_keeps_the_contract(check):
    check(fine_tuning(epochs=1))


@pytest.fixture(scope="module")
def apart():
    """A perceptron that learned the ellipses apart."""
    scenario = create("scenarios", "ellipses_apart")
    trainer = Trainer(TrainingOptions(epochs=8, batch_size=50, learning_rate=0.01))
    return train(create("models", "fully_connected", units=32), scenario, trainer)


def right(network, scenario):
    images, labels = arrays(create("scenarios", scenario), "test")
    return (clean_predictions(network, images) == labels).mean()


def test_a_copy_learns_the_new_scene_and_forgets_the_old(apart):
    before = [weight.copy() for weight in apart.model.get_weights()]
    assert right(apart, "ellipses_apart") == 1
    assert right(apart, "ellipses_overlap") < 0.05
    overlap = create("scenarios", "ellipses_overlap")
    trainer = Trainer(TrainingOptions(epochs=8, batch_size=50, learning_rate=0.01))
    tuned = fine_tuning().apply(apart, overlap, trainer).classifier
    assert right(tuned, "ellipses_overlap") > 0.95
    assert right(tuned, "ellipses_apart") < 0.5
    for weight, old in zip(apart.model.get_weights(), before, strict=True):
        assert np.array_equal(weight, old)


def test_options_of_the_defence_override_those_of_the_training(apart):
    seen = []
    trainer = Trainer(TrainingOptions(epochs=9), report=lambda what, *_: seen.append(what))
    overlap = create("scenarios", "ellipses_overlap")
    tuned = fine_tuning(epochs=1, learning_rate=1e-9).apply(apart, overlap, trainer).classifier
    assert dict.fromkeys(seen) == {"epoch 1/1": None}
    for weight, old in zip(tuned.model.get_weights(), apart.model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, old, atol=1e-6)


@pytest.mark.slow
def test_a_stored_network_is_tuned_and_kept_as_a_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path))
    quick, data = Trainer(TrainingOptions(epochs=1)), InMemory(shape=(8, 8, 1))
    small = create("defenses", "calibrater", base=1, channels=1, blocks=1)
    train_and_store(create("models", "linear"), data, "d1", Trainer(TrainingOptions(epochs=0)))
    trained = train_and_store(
        Deployed("d1", network_of("d1")), data, "d1-b2", quick, [fine_tuning(), small]
    )
    assert [defense.name for defense in trained.card.defenses] == ["fine_tuning", "calibrater"]
    again = stored_network("d1-b2")
    assert again.defenses == trained.classifier.defenses
    images, _ = arrays(data, "test", 20)
    np.testing.assert_array_equal(again(images), trained.classifier(images))
    np.testing.assert_allclose(store.load("d1-b2")(images), again(images), atol=1e-5)
    # A third defence for a classifier with two: all three are rebuilt.
    third = train_and_store(Deployed("d1-b2", again), data, "d1-b1", quick, [small])
    stored = stored_network("d1-b1")
    assert [defense.name for defense in stored.defenses] == [
        "fine_tuning",
        "calibrater",
        "calibrater",
    ]
    np.testing.assert_array_equal(stored(images), third.classifier(images))
    assert not np.array_equal(third.classifier(images), again(images))


@pytest.mark.slow
def test_a_trained_network_is_tuned_on_other_scenes_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setenv("TFROBUST_MODELS", str(tmp_path))
    quick = Trainer(TrainingOptions(epochs=1))
    train_and_store(create("models", "linear"), create("scenarios", "digits"), "d1", quick)
    trained = train_and_store(
        Deployed("d1", network_of("d1")), open_scenario("digits+b2"), "d1-b2", quick,
        [fine_tuning(), create("defenses", "calibrater", size_ratio=9)],
    )  # fmt: skip
    assert [defense.name for defense in trained.card.defenses] == ["fine_tuning", "calibrater"]
    again = stored_network("d1-b2")
    assert again.defenses == trained.classifier.defenses
    images, _ = arrays(open_scenario("digits+b2"), "test", 20)
    np.testing.assert_array_equal(again(images), trained.classifier(images))
    np.testing.assert_allclose(store.load("d1-b2")(images), again(images), atol=1e-5)
    # A third defence for a classifier with two: all three are rebuilt.
    third = train_and_store(
        Deployed("d1-b2", again), open_scenario("digits+b1"), "d1-b1", quick,
        [create("defenses", "calibrater", size_ratio=9)],
    )  # fmt: skip
    stored = stored_network("d1-b1")
    assert [defense.name for defense in stored.defenses] == [
        "fine_tuning",
        "calibrater",
        "calibrater",
    ]
    np.testing.assert_array_equal(stored(images), third.classifier(images))


def test_a_classifier_that_is_not_a_keras_model_is_refused():
    with pytest.raises(UsageError, match=r"fine_tuning: expected a Keras model, .* another kind"):
        fine_tuning().check(LinearClassifier((8, 8, 1), 2), create("scenarios", "digits"))
    quick = Trainer(TrainingOptions(epochs=0))
    network = train(create("models", "linear"), create("scenarios", "digits"), quick)
    with pytest.raises(UsageError, match="no plugin shifts/b9"):
        fine_tuning(shift="b9").check(network, create("scenarios", "digits"))
