"""The joint layer of a fusion: linear or recurrent, and what each stream contributes to it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.pipeline.deployed import Deployed
from tfrobust.pipeline.reload import network_of, stored_network
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.pipeline.summaries import classifier_summary
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_fusion.features import Features, FeatureScenario
from tfrobust_fusion.heads import JOINT, Heads, Recurrence, is_recurrent
from tfrobust_fusion.shares import agreement, shares

SHAPE, CLASSES = (4, 4, 1), 3
DATA = InMemory(shape=SHAPE, classes=CLASSES)
WIDTHS = {"foreground": 3, "background": 2}


def network(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), keras.layers.Dense(6, activation="relu")]
    return KerasClassifier(
        keras.Sequential([keras.Input(SHAPE), *layers, keras.layers.Dense(CLASSES)])
    )


def kernel(model, name):
    return model.get_layer(name).kernel.numpy()


@pytest.mark.parametrize("steps", [1, 3])
def test_the_recurrent_layer_is_the_plain_recurrence_over_the_same_features(steps):
    model = Heads(WIDTHS, 4, alpha=0.0, seed=0, recurrence=Recurrence(5, steps)).model()
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=weight.shape) for weight in model.get_weights()])
    features = draw.normal(size=(7, 5)).astype(np.float32)
    drive = features[:, :3] @ kernel(model, "joint.foreground")
    drive += features[:, 3:] @ kernel(model, "joint.background")
    drive += model.get_layer("joint.foreground").bias.numpy()
    state = np.tanh(drive)
    for _ in range(steps - 1):
        state = np.tanh(drive + state @ kernel(model, "joint.recurrent"))
    expected = state @ kernel(model, JOINT) + model.get_layer(JOINT).bias.numpy()
    np.testing.assert_allclose(model(features)[JOINT], expected, atol=1e-5)
    assert is_recurrent(model)


@pytest.mark.slow
def test_a_recurrent_layer_decides_by_what_the_streams_say_together():
    """Whether two signs are equal is nothing that a linear layer can tell."""
    values = np.random.default_rng(0).uniform(-1, 1, (400, 2)).astype(np.float32)
    labels = (values[:, 0] * values[:, 1] > 0).astype(np.int64)
    data = FeatureScenario({"train": Features(values, labels)}, "ab")
    options = TrainingOptions(epochs=60, batch_size=50, validation=0, learning_rate=0.02)
    right = []
    for recurrence in (None, Recurrence(16, 3)):
        widths = {"foreground": 1, "background": 1}
        heads = Heads(widths, 2, alpha=0.0, seed=0, recurrence=recurrence)
        heads.fit(data, Trainer(options))
        right.append(np.mean(np.argmax(heads.model()(values)[JOINT], 1) == labels))
    assert right[0] < 0.75
    assert right[1] > 0.95


@pytest.mark.slow
def test_a_recurrent_fusion_is_rebuilt_from_the_store_and_penalises_its_foreground(tmp_path):
    recurrent = {"layer": "recurrent", "units": 8, "steps": 2, "learning_rate": 0.1, "alpha": 10.0}
    with store.rooted(tmp_path):
        store.export(network(1), tmp_path / "scenes/1")
        defense = create("defenses", "contextual_fusion", background="scenes", **recurrent)
        trainer = Trainer(TrainingOptions(epochs=3, batch_size=8, validation=0))
        trained = train_and_store(Deployed("objects", network()), DATA, "fused", trainer, [defense],
                                  root=tmp_path)  # fmt: skip
        again = stored_network("fused", tmp_path)
        images, _ = arrays(DATA, "test", 8)
        np.testing.assert_allclose(again(images), trained.classifier(images), atol=1e-5)
        weights = again.mean_weights()
        assert weights["foreground"] < 0.5 * weights["background"]
        assert again.defenses == trained.classifier.defenses  # with what was found
        assert again.components()[-1].name == "recurrent and linear layers"


def test_a_streams_share_is_its_part_of_the_variance_that_the_joint_layer_adds_up():
    model = Heads(WIDTHS, 2, alpha=0.0, seed=0).model()
    model.get_layer("joint.foreground").kernel.assign([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    model.get_layer("joint.background").kernel.assign([[0.0, 3.0], [0.0, 0.0]])
    signs = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], np.float32)
    values = np.zeros((4, 5), np.float32)
    values[:, [0, 3]] = signs + 7  # a mean that is no matter
    features = Features(values, np.zeros(4, np.int64))
    found = shares(model, features, WIDTHS)
    assert found == pytest.approx({"foreground": 0.1, "background": 0.9})
    still = Features(np.ones((4, 5), np.float32), np.zeros(4, np.int64))
    assert shares(model, still, WIDTHS) == {"foreground": 0.0, "background": 0.0}


def test_a_joint_layer_of_the_background_alone_agrees_with_it_on_every_image():
    model = Heads(WIDTHS, 4, alpha=0.0, seed=0).model()
    model.get_layer("joint.foreground").kernel.assign(tf.zeros((3, 4)))
    model.get_layer("joint.background").kernel.assign(model.get_layer("background").kernel)
    values = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    features = Features(values, np.zeros(50, np.int64))
    alike = agreement(model, features, WIDTHS)
    assert alike["background"] == 1
    assert alike["foreground"] < 1
    assert shares(model, features, WIDTHS)["background"] == 1


@pytest.mark.slow
def test_a_penalty_that_leaves_nothing_of_the_foreground_is_told(tmp_path):
    lines = []
    with store.rooted(tmp_path):
        store.export(network(1), tmp_path / "scenes/1")
        options = {"background": "scenes", "learning_rate": 0.01, "alpha": 1000.0}
        trainer = Trainer(TrainingOptions(epochs=30, batch_size=8, validation=0), log=lines.append)
        defense = create("defenses", "contextual_fusion", **options)
        train_and_store(Deployed("objects", network()), DATA, "fused", trainer, [defense],
                        root=tmp_path)  # fmt: skip
        fused = network_of("fused")
        found = fused.defenses[0].found
        totals = classifier_summary("fused", fused).totals
    assert found["share_foreground"] < 0.01
    assert 0 <= found["agrees_foreground"] <= 1
    assert any("alpha=1000 leaves the foreground" in line for line in lines)
    assert totals["foreground's share of the decision"].startswith("0.")
