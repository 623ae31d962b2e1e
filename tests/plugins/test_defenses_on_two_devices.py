"""Trainings that smooth, bound or quantize a network: two devices train as one does."""

import json

import pytest

from helpers.support import python

EVERY = {
    "kwta": {"share": 0.3},
    "dynamic_quantization": {"eps": 0.0},
    "defensive_quantization": {},
    "logit_pairing": {"eps": 0.0},
    "ibp_training": {"pgd_steps": 1},
    "parseval": {},
    "randomized_smoothing": {},
    "pixel_dp": {"after": "first_layer", "bound": 1e-9},  # each device draws its own noise
}
CODE = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import tfrobust
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from helpers.quick import trace_quickly
from helpers.support import InMemory, small_classifier
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions

trace_quickly()

def trained(name, options, strategy):
    keras.utils.set_random_seed(0)
    given = TrainingOptions(
        epochs=1, batch_size=12, strategy=strategy, validation=0.25, optimizer="sgd"
    )
    trainer = Trainer(given)
    with trainer.strategy.scope():
        classifier = small_classifier()
    done = create("defenses", name, **options).apply(classifier, InMemory(images=48), trainer)
    return (done.classifier.model or done.classifier.inner.model).get_weights()

name, options = sys.argv[1], json.loads(sys.argv[2])
one, two = (trained(name, options, way) for way in ("default", "mirrored"))
print(max(float(np.abs(a - b).max()) for a, b in zip(one, two, strict=True)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), EVERY.items(), ids=EVERY)
def test_a_training_gives_the_same_weights_on_two_devices(name, options):
    done = python(CODE, name, json.dumps(options))  # collectives of one process share their numbers
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout.splitlines()[-1]) <= 1e-5
