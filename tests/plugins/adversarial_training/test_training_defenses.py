"""All trainings that harden a network: their contract, their effect, resuming, devices."""

import json

import keras
import numpy as np
import pytest

from helpers.support import InMemory, python, small_classifier
from tfrobust import store
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.run import run_attack
from tfrobust.pipeline.build import train
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

HARDENING = {
    "trades": {"steps": 4},
    "mart": {"steps": 4},
    "fgsm_training": {"pgd_steps": 4, "checked": 50},
    "free_training": {"replays": 2, "pgd_steps": 4},
    "ensemble_training": {"networks": "plain"},
}
EVERY = HARDENING | {"defensive_distillation": {}}
STAGED = ("defensive_distillation",)  # two trainings; the others resume as the loop does
QUICK = ("trades", "mart", "free_training")
TOY = InMemory(images=48)


def each_of(defenses, quick):
    """Parametrize over defences; those that prove nothing new about the loop are slow."""
    return pytest.mark.parametrize(
        ("name", "options"),
        [
            pytest.param(name, options, marks=[] if name in quick else pytest.mark.slow, id=name)
            for name, options in defenses.items()
        ],
    )


@pytest.fixture(scope="module")
def under_pgd(digits):
    """Give the accuracy under PGD of what `trained_on_digits` returns; it is traced once."""
    network = KerasClassifier(create("models", "fully_connected", units=32).build((8, 8, 1), 10))
    attack = create("attacks", "pgd", eps=0.1, steps=10)
    images, labels = (array[:150] for array in digits["test"])

    def accuracy(classifier):
        network.model.set_weights(classifier.model.get_weights())
        crafted = run_attack(attack, network, images, labels)
        return (clean_predictions(network, crafted.images) == labels).mean()

    return accuracy


def trained_on_digits(*defenses):
    trainer = Trainer(TrainingOptions(epochs=12, batch_size=64, learning_rate=5e-3))
    model = create("models", "fully_connected", units=32)
    return train(model, create("scenarios", "digits"), trainer, list(defenses))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A network that was trained on clean digits alone, and its store."""
    root = tmp_path_factory.mktemp("models")
    classifier = trained_on_digits()
    store.export(classifier, root / "plain/1")
    return classifier, root


@each_of(HARDENING, ("free_training",))
def test_digits_become_harder_to_attack_than_by_plain_training(
    name, options, plain, digits, under_pgd
):
    network, root = plain
    with store.rooted(root):
        hardened = trained_on_digits(create("defenses", name, eps=0.1, **options))
    assert under_pgd(hardened) > under_pgd(network) + 0.1
    images, labels = digits["test"]
    assert (clean_predictions(hardened, images) == labels).mean() >= 0.8


class KilledError(Exception):
    """Stands for the kill."""


class Killer(keras.callbacks.Callback):
    """Raises after a number of epochs, counted over all trainings of a defence."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.left -= 1
        if not self.left:
            raise KilledError


@each_of(EVERY, STAGED)
def test_a_killed_and_resumed_training_ends_at_the_same_weights(name, options, tmp_path):
    if "networks" in options:
        store.export(small_classifier(), tmp_path / "plain/1")

    def run(folder, resume=False, callbacks=()):
        classifier = small_classifier(dropout=0.2)
        asked = TrainingOptions(epochs=4, batch_size=12, validation=0.25)
        trainer = Trainer(asked, workspace=folder, resume=resume, callbacks=callbacks)
        with store.rooted(tmp_path):
            create("defenses", name, **options).apply(classifier, TOY, trainer)
        return classifier.model.get_weights()

    epoch = {"free_training": 2, "defensive_distillation": 6}.get(name, 3)
    with pytest.raises(KilledError):
        run(tmp_path / "begun", callbacks=[Killer(epoch)])
    halves, whole = run(tmp_path / "begun", resume=True), run(None)
    assert all(map(np.array_equal, halves, whole))


ON_TWO_DEVICES = """
import json, os, sys
from pathlib import Path
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tfrobust
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from helpers.quick import trace_quickly
from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

trace_quickly()
root, gaps = Path(sys.argv[1]), {}
if "ensemble_training" in sys.argv[2]:
    store.export(small_classifier(), root / "plain/1")

def trained(name, options, strategy, epochs, *, batch_size=12, folder=None, resume=False):
    given = TrainingOptions(
        epochs=epochs, batch_size=batch_size, strategy=strategy, validation=0.25, optimizer="sgd"
    )
    trainer = Trainer(given, workspace=folder, resume=resume)
    with trainer.strategy.scope():
        classifier = small_classifier()
    with store.rooted(root):
        create("defenses", name, **options).apply(classifier, InMemory(images=48), trainer)
    return classifier.model.get_weights()

def apart(first, second):
    return max(float(np.abs(a - b).max()) for a, b in zip(first, second, strict=True))

for name, options in json.loads(sys.argv[2]).items():
    one, two = (trained(name, options, way, 1) for way in ("default", "mirrored"))
    gaps[name] = apart(one, two)
if sys.argv[3] == "resume":  # eleven images: one replica has a row that it does not use
    free = {"replays": 2, "pgd_steps": 1}, "mirrored"
    odd = {"batch_size": 11}
    trained("free_training", *free, 2, **odd, folder=root / "begun")
    halves = trained("free_training", *free, 4, **odd, folder=root / "begun", resume=True)
    gaps["resumed"] = apart(halves, trained("free_training", *free, 4, **odd))
print(json.dumps(gaps))
"""


def on_two_devices(folder, resume="", **defenses):
    done = python(ON_TWO_DEVICES, folder, json.dumps(defenses), resume)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_train_as_one_does(tmp_path):
    apart = on_two_devices(tmp_path, free_training={"replays": 2, "pgd_steps": 1})
    assert apart["free_training"] <= 1e-5


@pytest.mark.slow
def test_every_defence_trains_on_two_devices_and_their_perturbations_are_resumed(tmp_path):
    # Every defence draws its own perturbations.
    asked = EVERY | {"ensemble_training": {"networks": "plain", "eps": 0.0}}
    apart = on_two_devices(tmp_path, "resume", **asked)
    assert apart.pop("resumed") == 0
    assert set(apart) == set(EVERY)
    assert max(apart.values()) <= 1e-5, apart
