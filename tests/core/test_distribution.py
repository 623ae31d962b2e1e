"""Two devices train to the same weights as one."""

import json

import pytest

from support import python

TWO_DEVICES = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tfrobust
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from support import InMemory, small_model
from tfrobust import store
from tfrobust.classifier import KerasClassifier
from tfrobust.registry import create
from tfrobust.training import Trainer, TrainingOptions

def train(strategy, defense):
    options = TrainingOptions(
        epochs=2, batch_size=16, strategy=strategy, validation=0.25, optimizer=sys.argv[2]
    )
    trainer = Trainer(options)
    with trainer.strategy.scope():
        classifier = KerasClassifier(small_model())
    scenario = InMemory(count=96)
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
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["replicas"] == 2
    assert found["apart"] <= 1e-5
    assert found["losses"] <= 1e-5
    assert found["served"] <= 1e-6
    assert found["finite"]
