"""The images that detectors learn from: attacked in blocks, the same ones as at once."""

import numpy as np
import pytest

from helpers.support import python
from tfrobust.data import spooled
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.registry import create

_BYTES = 8 * 8 * 4  # of an image of digits

_PEAK = """
import re, sys, threading, time
from pathlib import Path
import numpy as np, tensorflow as tf, keras
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data import spooled
from tfrobust.evaluation.detection import fitted_on, threshold
from tfrobust.evaluation.fitting_images import attacked_training_images
from tfrobust.evaluation.learned_attacks import learned_from
from tfrobust.registry import create
from tfrobust.scenario import Scenario

count, spooled._BLOCK = int(sys.argv[1]), 16 << 20

class Noise(Scenario):
    image_shape, class_names, splits = (32, 32, 3), ("a", "b"), ("train",)
    def load(self, split):
        def example(number):
            seed = tf.stack([tf.constant(0, tf.int32), tf.cast(number, tf.int32)])
            image = tf.random.stateless_uniform(self.image_shape, seed)
            return {"image": image, "label": number % 2}
        return tf.data.Dataset.range(count).map(example)

def held():  # without the pages of mapped files, which the system takes back
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

peak = [0]
def watch():
    while True:
        peak[0] = max(peak[0], held())
        time.sleep(0.005)

keras.utils.set_random_seed(0)
layers = [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
classifier, scenario = KerasClassifier(keras.Sequential(layers)), Noise()
threading.Thread(target=watch, daemon=True).start()
for name in ("uap", "gap"):
    few = {"filters": 1, "blocks": 0, "batch_size": 500} if name == "gap" else {}
    learned_from(
        create("attacks", name, passes=1, training_images=count, **few), classifier, scenario
    )
images = attacked_training_images(create("attacks", "fgsm", eps=0.1), classifier, scenario, count)
detector = create("detectors", "mahalanobis")  # those of densities compare all pairs
threshold(fitted_on(images, detector, classifier), images)
print(peak[0] // 1024)
"""


@pytest.fixture(scope="module")
def scenario():
    return create("scenarios", "digits")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fgsm", {"eps": 0.2}),
        ("fgsm", {"eps": 0.2, "targeted": True}),
        ("uap", {"eps": 0.2, "passes": 1}),
        ("gap", {"eps": 0.5, "passes": 3, "filters": 4, "blocks": 0, "target": 3}),
    ],
)
def test_in_blocks_they_are_those_of_one_block(trained, scenario, name, options, monkeypatch):
    attack = create("attacks", name, **options)
    whole = attacked_training_images(attack, trained, scenario, 300)
    monkeypatch.setattr(spooled, "_BLOCK", 128 * _BYTES)
    told = []
    parts = attacked_training_images(
        attack, trained, scenario, 300, progress=lambda *now: told.append(now)
    )
    assert {(what, total) for what, _, total in told} == {(name, 300)}
    done = [number for _, number, _ in told]
    assert done == sorted(done)  # one bar over all blocks
    assert (done[0], done[-1]) == (0, 300)
    for field in ("clean", "adversarial", "fooled", "learned"):
        np.testing.assert_array_equal(getattr(parts, field), getattr(whole, field))
    assert parts.record == whole.record
    assert 0 < parts.fooled.sum() < 300


def test_they_lie_on_disk(trained, scenario):
    images = attacked_training_images(create("attacks", "fgsm", eps=0.3), trained, scenario, 200)
    assert images.only_fooling
    for field in (images.clean, images.adversarial, images.learned):
        assert isinstance(field, np.memmap)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images_that_are_learned_from():
    few, many = (_peak(count) for count in (2_000, 14_000))
    assert many - few < 80, (few, many)  # MiB; clean and attacked images alone take 281 more


def _peak(count: int) -> int:
    done = python(_PEAK, count, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1])
