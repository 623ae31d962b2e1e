"""What a black-box attack reached by each number of queries is recorded as it happens."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.recording import GRID, Recording, recording_of
from tfrobust.engine.run import run_attack
from tfrobust.norms.distances import distances
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.decision.starting_points import Search, affordable


class Diary(Wrapped):
    """Keeps all that it is asked, outside of TensorFlow."""

    def __init__(self, inner):
        super().__init__(inner)
        self.asked = []

    def __call__(self, images):
        return tf.ensure_shape(tf.py_function(self._answer, [images], tf.float32), (None, 3))

    def _answer(self, images):
        logits = self.inner(images)
        self.asked.append((images.numpy(), logits.numpy().argmax(axis=1)))
        return logits


def least_by_hand(diary, image, label, norm, skipped):
    """Return how many queries one image cost, and the least distance by each number of `GRID`."""
    asked = np.concatenate([images for images, _ in diary.asked])[skipped:]
    fooled = np.concatenate([classes for _, classes in diary.asked])[skipped:] != label
    apart = distances(np.broadcast_to(image, asked.shape), asked)[norm]
    apart = np.where(fooled, apart, np.inf)
    return len(asked), [apart[:number].min() for number in GRID]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hopskipjump", {"queries": 130, "norm": "linf"}),
        pytest.param("square", {"queries": 60, "eps": 0.02}, marks=pytest.mark.slow),
        pytest.param("pointwise", {"queries": 90}, marks=pytest.mark.slow),
    ],
)
def test_what_is_recorded_is_what_was_asked(name, options):
    diary = Diary(LinearClassifier((6, 5, 2), 3))
    images, labels = grey_images(diary.inner, 1, spread=0.3)
    attack = create("attacks", name, **options)
    crafted = run_attack(attack, diary, images, labels, record=True)
    norm, free = attack.threat.norm, int(attack.minimum_norm)  # the engine asks for the clean one
    count, least = least_by_hand(diary, images[0], labels[0], norm, free)
    assert crafted.found.asked.tolist() == [count] == [crafted.queries]
    own = np.arange(len(GRID)) if name == "square" else np.array(GRID) >= 64
    # Random pictures that all images share are paid for, and not measured.
    assert crafted.found.least[0][own] == pytest.approx(np.array(least)[own], rel=1e-5)


def test_recording_changes_no_image_and_does_not_depend_on_the_batch_size():
    classifier = LinearClassifier((6, 5, 2), 3)
    drawn = affordable(150, Search()).pictures  # shared rows, as many as the images of a batch
    images, labels = grey_images(classifier, drawn, spread=0.3)
    attack = create("attacks", "geoda", queries=150)
    plain = run_attack(attack, classifier, images, labels)
    together, alone = (
        run_attack(attack, classifier, images, labels, record=True, batch_size=size)
        for size in (drawn, 1)
    )
    assert plain.found is None
    assert np.allclose(plain.images, together.images, atol=1e-6)
    assert np.array_equal(together.found.asked, alone.found.asked)
    assert (together.found.asked <= 150).all()
    assert together.found.least == pytest.approx(alone.found.least, rel=1e-4)
    nearest = distances(images, together.images)["l2"]
    assert together.found.least[:, -1] == pytest.approx(nearest, rel=2.1e-3)  # it settles outwards
    assert (clean_predictions(classifier, together.images) != labels).all()


@pytest.mark.parametrize("name", ["pgd", "gaussian_noise", "autoattack"])
def test_attacks_whose_queries_tell_nothing_are_not_recorded(name):
    assert recording_of(create("attacks", name), LinearClassifier((4, 4, 1), 3)) is None


def test_a_random_classifier_is_not_recorded():
    classifier = LinearClassifier((4, 4, 1), 3)
    square = create("attacks", "square")
    assert isinstance(recording_of(square, classifier), Recording)
    assert recording_of(square, Wrapped(classifier, stochastic=True)) is None
