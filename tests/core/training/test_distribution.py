"""Several devices train to the same weights as one."""

import json

import pytest

from helpers.support import python

TWO_DEVICES = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tfrobust
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from helpers.quick import trace_quickly
from helpers.support import InMemory, small_model
from tfrobust import store
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

trace_quickly()

def train(strategy, defense):
    options = TrainingOptions(
        epochs=2, batch_size=16, strategy=strategy, validation=0.25, optimizer=sys.argv[2]
    )
    trainer = Trainer(options)
    with trainer.strategy.scope():
        classifier = KerasClassifier(small_model())
    scenario = InMemory(images=96)
    if defense:
        defense.apply(classifier, scenario, trainer)
        return classifier, trainer, None
    return classifier, trainer, trainer.fit(classifier, scenario)

one, _, history = train("default", None)
two, trainer, same = train("mirrored", None)
apart = max(
    float(np.abs(a - b).max())
    for a, b in zip(one.model.get_weights(), two.model.get_weights(), strict=True)
)
losses = max(abs(a[key] - b[key]) for a, b in zip(history, same, strict=True) for key in a)
folder = store.export(two, sys.argv[1] + "/m/1")
images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
served = float(np.abs(store.load(folder)(images).numpy() - two(images).numpy()).max())
defense = create("defenses", "pgd_training", eps=0.05, steps=2)
defended, *_ = train("mirrored", defense)
finite = all(bool(np.isfinite(w).all()) for w in defended.model.get_weights())
print(json.dumps({
    "replicas": trainer.strategy.num_replicas_in_sync,
    "apart": apart, "losses": losses, "served": served, "finite": finite,
}))
"""


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
def test_mirrored_over_two_devices_trains_as_one_device_does_and_exports(optimizer, tmp_path):
    done = python(TWO_DEVICES, tmp_path, optimizer)
    assert done.returncode == 0, done.stderr[-3000:]
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["replicas"] == 2
    assert measured["apart"] <= 1e-5
    assert measured["losses"] <= 1e-5
    assert measured["served"] <= 1e-6
    assert measured["finite"]


UNEVEN = """
import dataclasses, json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tfrobust
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 8)

from helpers.quick import trace_quickly
from helpers.support import InMemory
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

trace_quickly()
OPTIONS = TrainingOptions(epochs=2, batch_size=5, validation=0.3, optimizer="sgd")
SCENARIO = InMemory(images=24)  # 17 images to train on, 7 held out: batches of 5, 5, 5 and 5, 2
cpus = [f"CPU:{k}" for k in range(8)]
to_one = tf.distribute.ReductionToOneDevice()  # a process takes collective operations only once
STRATEGIES = {
    2: tf.distribute.MirroredStrategy(cpus[:2], cross_device_ops=to_one),
    3: tf.distribute.MirroredStrategy(cpus[:3]),
    8: tf.distribute.MirroredStrategy(cpus, cross_device_ops=to_one),
}


def model(normalised=False):
    keras.utils.set_random_seed(0)
    layers = keras.layers
    more = [layers.BatchNormalization(momentum=0.5)] if normalised else []
    return keras.Sequential([
        keras.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu", kernel_regularizer="l2"),
        *more, layers.Flatten(), layers.Dense(3, kernel_regularizer="l2"),
    ])


def trained(devices, defense=None, options=OPTIONS, **of_model):
    trainer = Trainer(options, strategy=STRATEGIES.get(devices))
    with trainer.strategy.scope():
        classifier = KerasClassifier(model(**of_model))
    if defense is not None:
        defense.apply(classifier, SCENARIO, trainer)
        return classifier.model.get_weights(), []
    history = trainer.fit(classifier, SCENARIO)
    return classifier.model.get_weights(), history


def apart(one, several):
    weights = max(float(np.abs(a - b).max()) for a, b in zip(one[0], several[0], strict=True))
    logs = [abs(a[k] - b[k]) for a, b in zip(one[1], several[1], strict=True) for k in a]
    return max([weights, *logs])


ways = {
    "plain": lambda devices: trained(devices),
    "free": lambda devices: trained(
        devices, create("defenses", "free_training", replays=2, eps=0.05, pgd_steps=1)
    ),
}
differences = {}
wanted = json.loads(sys.argv[1])
for way, run in ways.items():
    if way not in wanted:
        continue
    one = run(1)
    differences[way] = [apart(one, run(devices)) for devices in wanted[way]]
fewer = dataclasses.replace(OPTIONS, epochs=1, validation=0.0)
for devices in wanted.get("moving", []):
    normalised, _ = trained(devices, options=fewer, normalised=True)
    differences["moving"] = [float(np.abs(weight).max()) for weight in normalised]
print(json.dumps(differences))
"""


def apart_on(**wanted: list[int]) -> dict[str, list[float]]:
    """Return how far trainings on so many devices end from one on a single device."""
    done = python(UNEVEN, json.dumps(wanted))
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_batches_that_do_not_divide_train_as_on_one_device():
    """Batches of 5 images, and of 2, on 2 and 3 devices."""
    assert max(apart_on(plain=[2, 3])["plain"]) <= 1e-6


@pytest.mark.slow
def test_devices_without_images_of_their_own_train_as_one_device():
    """Batches of 5 images, and of 2, on 8 devices; and with a perturbation carried along on 3."""
    differences = apart_on(plain=[8], free=[3], moving=[8])
    assert max(differences["plain"]) <= 1e-6
    assert max(differences["free"]) <= 1e-6
    assert max(differences["moving"]) < 10  # averages of batches: neither NaN nor those of no image
