"""Retraining at the command line: mistakes cost one line; a network is retrained and attacked."""

import json
import shutil

import pytest

from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

RETRAIN = ("train", "f", "--only", "retraining", "--scenario", "digits", "--name", "g")
FGSM = ("-p", "retraining.attack=fgsm", "-p", 'retraining.options={"eps": 0.15}')


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A store that holds a network `f` with its Keras model."""
    root = tmp_path_factory.mktemp("networks")
    train_and_store(
        create("models", "fully_connected"),
        create("scenarios", "digits"),
        "f",
        Trainer(TrainingOptions(epochs=2)),
        root=root,
    )
    return root


@pytest.fixture
def with_network(here, network):
    """The folder to work in, and `f` in its store."""
    shutil.copytree(network, here / "saved_models")
    return here


def test_every_mistake_costs_one_line_and_leaves_nothing(tfrobust, with_network):
    for options, words in [
        ((*FGSM, "-p", "k=2000"), "k: expected at most the 1437 training images; received: 2000"),
        ((*FGSM, "-p", "dimensions=64"), "dimensions: expected at most 60, the rank of 1437"),
        (("-p", "attack=fgsm", "-p", 'options={"eps": 0}'), "changes the class of none of 1000"),
        ((*FGSM, "-p", "new_class=3"), "new_class: expected a name that no class"),
        ((*FGSM, "-p", "attak=pgd"), "did you mean 'attack'"),
        (("-p", "attack=fgms"), "did you mean 'fgsm'"),
    ]:
        result = tfrobust(*RETRAIN, "--epochs", 1, *options)
        assert result.code in (1, 2), options
        assert words in result.err.replace("\n", " "), result.err
        assert "Traceback" not in result.err
        assert not (with_network / "saved_models" / "g").exists()


def test_a_network_is_retrained_and_attacked_again(tfrobust, with_network):
    result = tfrobust(*RETRAIN, "--epochs", 1, *FGSM, "-p", "adversarial_images=1500")
    assert result.code == 0, result.err
    assert "1500 adversarial images of 1437 training images" in result.out + result.err
    result = tfrobust(
        *("evaluate", "g", "--scenario", "digits", "--crafted-on", "f", "--reattack"),
        *("--attack", "fgsm", "-p", "eps=0.15", "--limit", 60, "--out", "again", "--no-baselines"),
    )
    assert result.code == 0, result.err
    assert "fooled again" in result.out
    evaluations = json.loads((with_network / "again/results.json").read_text())["evaluations"]
    assert [evaluation["classifier"]["name"] for evaluation in evaluations] == ["f", "g"]
    figures = evaluations[1]["classifier"]["defenses"][0]["found"]
    assert figures["adversarial_images"] == 1500
    assert figures["label_accuracy"] > figures["label_accuracy_without_originals"] > 0.8
