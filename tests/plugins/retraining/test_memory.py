"""Whether collecting for a retraining takes memory that grows with the images."""

import pytest

from helpers.support import python

_PEAK = """
import re, sys
from pathlib import Path
import tensorflow as tf, keras
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data import spooled
from tfrobust.registry import create
from tfrobust.scenario import Scenario
from tfrobust.training import data
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_retraining import clustering, neighbours

count, parts = int(sys.argv[1]), 48 << 20
spooled._BLOCK = neighbours._FITTED = clustering._FITTED = data._CACHED = parts
spooled._READ = 4 << 20

class Noise(Scenario):
    image_shape, class_names, splits = (64, 64, 3), ("a", "b"), ("train",)
    def load(self, split):
        def example(number):
            seed = tf.stack([tf.constant(0, tf.int32), tf.cast(number, tf.int32)])
            label = number % 2
            least = tf.where(label == 0, 0.3, 0.45)
            image = tf.random.stateless_uniform(self.image_shape, seed, least, least + 0.2)
            return {"image": image, "label": label}
        return tf.data.Dataset.range(count).map(example)

keras.utils.set_random_seed(0)
layers = [keras.Input((64, 64, 3)), keras.layers.AveragePooling2D(16), keras.layers.Flatten()]
classifier = KerasClassifier(keras.Sequential([*layers, keras.layers.Dense(2)]))
defense = create(
    "defenses", "retraining", attack="fgsm", options={"eps": 0.3},
    fooling="clusters", dimensions=20, epochs=0,
)
figures = defense.apply(classifier, Noise(), Trainer(TrainingOptions(batch_size=64))).found
assert figures["adversarial_images"] == count and figures["fooling_images"] > count // 2
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images_that_are_collected():
    few, many = (_peak(count) for count in (3_000, 12_000))
    assert many - few < 250, (few, many)  # MiB; clean and adversarial images take 844 more


def _peak(count: int) -> int:
    done = python(_PEAK, count, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])
