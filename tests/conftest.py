"""Fixtures of all tests. The variables that TensorFlow reads at its import are set before it."""

import os
import random
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as in a process that imports tfrobust first

import keras
import numpy as np
import pytest

from helpers.quick import grappler, trace_quickly
from helpers.support import REPO, Reference, shared_folder, train_keras
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.reading import arrays
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

TESTS = Path(__file__).parent


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from helpers.scheduling import LoadSharedScheduling

    shared = config.getvalue("dist") == "loadscope"  # as pyproject.toml has it
    return LoadSharedScheduling(config, log) if shared else None


def pytest_collection_modifyitems(items):
    """Put the tests of the whole product first among the single ones: they take longest."""
    items.sort(key=lambda item: item.path.parent != TESTS)


@pytest.fixture(scope="session", autouse=True)
def _quick_tracing():
    trace_quickly()


@pytest.fixture(autouse=True)
def _same_weights_in_every_run():
    """Seed what initialisers draw their seeds from: what passes here passes anywhere."""
    random.seed(5)
    np.random.seed(5)  # for libraries that use it


@pytest.fixture(name="grappler")
def _grappler():
    """Let Grappler optimise graphs, as it does outside of tests: for exports and memory."""
    grappler(on=True)
    yield
    grappler(on=False)


@pytest.fixture(scope="session")
def digits():
    """All of the digits' splits: `{"train": (images, labels), "test": …}`."""
    scenario = create("scenarios", "digits")
    return {split: arrays(scenario, split) for split in scenario.splits}


@pytest.fixture(scope="session")
def trained(digits):
    """A small convolutional network that reads most of the digits."""
    init = keras.initializers.GlorotUniform(seed=3)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(12, 3, activation="relu", kernel_initializer=init),
        keras.layers.Flatten(),
        keras.layers.Dense(32, activation="relu", kernel_initializer=init),
        keras.layers.Dense(10, kernel_initializer=init),
    ]
    model = keras.Sequential(layers)
    train_keras(model, *digits["train"], epochs=8)
    return KerasClassifier(model)


@pytest.fixture(scope="session")
def test_images(digits):
    """Sixty test digits and their labels."""
    images, labels = digits["test"]
    return images[:60], labels[:60]


@pytest.fixture
def linear():
    """A linear classifier, images far from the box's walls, and its predictions for them."""
    classifier = LinearClassifier()
    return classifier, *grey_images(classifier)


@pytest.fixture(scope="session")
def reference():
    """The small network, its images and the results of the peers' attacks on them."""
    folder = shared_folder("reference")
    return Reference(folder)


@pytest.fixture
def tfds_data(monkeypatch):
    """Point TensorFlow Datasets at the prepared data; nothing is downloaded."""
    folder = shared_folder("data/tfds")
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def npz(tmp_path):
    """Write arrays into an `.npz` and return its path."""

    def write(name="data.npz", **named) -> Path:
        path = tmp_path / name
        np.savez(path, **named)
        return path

    return write


@pytest.fixture
def repo() -> Path:
    """The root of the checkout."""
    return REPO
