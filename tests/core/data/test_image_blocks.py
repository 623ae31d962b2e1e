"""A split a few images at a time."""

import numpy as np
import pytest

from helpers.support import InMemory, small_classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.data.image_blocks import ImageBlocks, WatchedBlocks, accuracy
from tfrobust.data.reading import arrays
from tfrobust.errors import DataError, UsageError
from tfrobust.pipeline import stored_training
from tfrobust.pipeline.stored_training import train_and_store
from tfrobust.registry import create
from tfrobust.training.trainer import Trainer, TrainingOptions


@pytest.mark.parametrize(("limit", "sizes"), [(None, [20, 20, 10]), (40, [20, 20]), (7, [7])])
def test_every_pass_gives_all_images_in_their_order(limit, sizes):
    scenario = InMemory(images=50)
    images, labels = arrays(scenario, "test", limit)
    blocks = ImageBlocks(scenario, "test", limit, block_size=20)
    for _ in range(2):
        several = list(blocks)
        assert [len(block) for block, _ in several] == sizes
        np.testing.assert_array_equal(np.concatenate([block for block, _ in several]), images)
        np.testing.assert_array_equal(np.concatenate([block for _, block in several]), labels)


def test_watched_blocks_are_the_same_and_tell_how_many_are_done_in_every_pass():
    told = []
    watched = WatchedBlocks(ImageBlocks(InMemory(images=50), "test", block_size=20), told.append)
    for _ in range(2):
        assert [len(labels) for _, labels in watched] == [20, 20, 10]
    assert told == 2 * [0, 20, 40, 50]


def test_a_split_that_is_not_there_or_breaks_the_contract_is_refused():
    class TooBright(InMemory):
        def load(self, split):
            return super().load(split).map(lambda row: row | {"image": 2 + row["image"]})

    with pytest.raises(UsageError, match="split: expected one of train, test"):
        next(iter(ImageBlocks(InMemory(), "tset")))
    with pytest.raises(DataError, match=r"images: expected values in \[0, 1\]"):
        next(iter(ImageBlocks(TooBright(), "test")))


def test_the_accuracy_is_that_over_all_images_at_once():
    scenario, classifier = InMemory(images=50), small_classifier()
    images, labels = arrays(scenario, "test")
    expected = (clean_predictions(classifier, images) == labels).mean()
    blocks = ImageBlocks(scenario, "test", block_size=7)
    assert accuracy(lambda some: clean_predictions(classifier, some), blocks) == expected


def test_a_training_measures_its_accuracy_a_block_at_a_time(tmp_path, monkeypatch):
    sizes = []

    def predictions(classifier, images, name):
        sizes.append(len(images))
        return clean_predictions(classifier, images, name)

    monkeypatch.setattr(stored_training, "clean_predictions", predictions)
    scenario = InMemory(images=300)
    trained = train_and_store(
        create("models", "linear"), scenario, "m", Trainer(TrainingOptions(epochs=1)),
        root=tmp_path,
    )  # fmt: skip
    assert sizes == [256, 44]
    images, labels = arrays(scenario, "test")
    right = clean_predictions(trained.classifier, images) == labels
    assert trained.card.clean_accuracy == right.mean()
