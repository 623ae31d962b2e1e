"""What a network costs in the field, measured a block of images at a time."""

import numpy as np

from helpers.support import InMemory
from tfrobust.classifiers.inference import predict
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.data.image_blocks import ImageBlocks
from tfrobust.data.reading import arrays
from tfrobust.pipeline.build import recorded
from tfrobust.registry import create
from tfrobust.serving.litert import LiteModel
from tfrobust.serving.litert_export import lite_file
from tfrobust.serving.servable import separated
from tfrobust.study.cells.footprint import footprint
from tfrobust.training.trainer import Trainer, TrainingOptions


def test_the_accuracy_in_eight_bits_is_that_over_all_images_at_once():
    scenario = InMemory(images=70, shape=(8, 8, 1), classes=10)
    bare = KerasClassifier(create("models", "linear").build((8, 8, 1), 10))
    defense = create("defenses", "calibrater", size_ratio=1, channels=4, blocks=1)
    defended = defense.apply(bare, scenario, Trainer(TrainingOptions(epochs=0)))
    classifier = recorded(defense, bare, defended)
    images, labels = arrays(scenario, "test")
    figures = footprint(classifier, scenario, ImageBlocks(scenario, "test", block_size=32))
    samples = arrays(scenario, "train", 200)[0]
    int8 = LiteModel(lite_file(separated(classifier, "calibrater"), samples))
    expected = (predict(bare, int8(images)).argmax(axis=1) == labels).mean()
    assert np.isclose(figures["int8_accuracy"], expected, atol=1 / 70)
    assert figures["milliseconds"] > 0
