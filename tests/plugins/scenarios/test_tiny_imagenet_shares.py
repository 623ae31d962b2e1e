"""Tiny ImageNet, divided class by class: for testing, for training, and for neither."""

from collections import Counter

import numpy as np
import pytest

from helpers.files.tiny_imagenet_files import content, zipped
from tfrobust.data.reading import arrays
from tfrobust.errors import UsageError
from tfrobust.registry import create


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A small archive: three training and two validation images of each of three classes."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    create("scenarios", "tiny_imagenet").prepare(zipped(tmp_path / "small.zip", content()))


def images_of(split, **options):
    """Return how often a split has each image, as bytes, and how many each class has."""
    images, labels = arrays(create("scenarios", "tiny_imagenet", **options), split)
    return Counter(image.tobytes() for image in images), np.bincount(labels, minlength=3).tolist()


def test_images_for_training_are_drawn_after_those_for_the_test_and_are_others(prepared):
    fewer = {"test_share": 0.4, "train_share": 0.2}
    train, test = images_of("train", **fewer), images_of("test", **fewer)
    assert train[1] == [1, 1, 1]
    assert test == images_of("test", test_share=0.4)
    # What another scenario trains on with a test share of 0.6 is all that is in neither of the two.
    rest = images_of("train", test_share=0.6)
    assert rest[1] == [2, 2, 2]
    assert train[0] + test[0] + rest[0] == images_of("train")[0] + images_of("test")[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_share": 0.2}, "train_share: expected test_share too"),
        ({"train_share": 0.7, "test_share": 0.4}, "train_share: expected at most 1 together"),
    ],
)
def test_shares_that_do_not_fit_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        create("scenarios", "tiny_imagenet", **options)
