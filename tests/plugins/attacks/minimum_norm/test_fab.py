"""FAB finds the nearest boundary of a linear classifier, and stops where its options say so."""

import numpy as np
import pytest

from helpers.pairs import pairwise
from helpers.thinned import thinned
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

SHAPES = [(6, 5, 2), (8, 8, 1), (4, 4, 3)]


def least(classifier, images, labels, norm):
    """Return the distance to the nearest class; in L1 within [0, 1], steepest pixels first."""
    if norm != "l1":
        return classifier.least_perturbation(images, labels, norm)
    weights = classifier.weights.numpy().astype(np.float64)
    logits = classifier(images).numpy().astype(np.float64)
    distances = np.full(len(labels), np.inf)
    for row, (image, own) in enumerate(zip(images.reshape(len(images), -1), labels, strict=True)):
        for k in set(range(classifier.num_classes)) - {int(own)}:
            slope, gap, spent = (
                weights[:, k] - weights[:, own],
                logits[row, own] - logits[row, k],
                0.0,
            )
            for pixel in np.argsort(-np.abs(slope)):
                room = 1.0 - image[pixel] if slope[pixel] > 0 else image[pixel]
                move = min(room, gap / abs(slope[pixel]))
                spent, gap = spent + move, gap - move * abs(slope[pixel])
                if gap <= 1e-12:
                    break
            distances[row] = min(distances[row], spent)
    return distances


@pytest.mark.parametrize(
    ("size", "norm", "name"),
    thinned(
        pairwise(
            [*zip(SHAPES, [1, 3, 8], [10, 3, 2], strict=True)],
            ["linf", "l2", "l1"],
            ["fab_t", "fab"],
        ),
        one_in=2,
    ),
)
def test_every_image_breaks_within_a_twentieth_of_the_least_distance(size, norm, name):
    shape, batch_size, classes = size
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels = grey_images(classifier, 8, spread=0.3)
    attack = create("attacks", name, norm=norm, steps=15)
    crafted = run_attack(attack, classifier, images, labels, batch_size=batch_size)
    judged = audit(classifier, attack, images, labels, crafted.images, clean=labels)
    shortest = least(classifier, images, labels, norm)
    assert judged.success.all()
    assert np.median(judged.distance[norm] / shortest) <= 1.05
    assert (judged.distance[norm] >= shortest * (1 - 1e-4) - 1e-7).all()


def test_a_further_restart_never_increases_the_distance(trained, test_images):
    images, labels = test_images
    distances = []
    for restarts in (1, 3):
        attack = create("attacks", "fab_t", steps=10, restarts=restarts, target_classes=3)
        crafted = run_attack(attack, trained, images, labels).images
        judged = audit(trained, attack, images, labels, crafted, clean=labels)
        distances.append(judged.distance["linf"])
    assert (distances[1] <= distances[0] + 1e-6).all()
    assert (distances[1] < distances[0] - 1e-4).any()


def test_early_stopping_saves_steps_and_changes_no_verdict(trained, test_images):
    images, labels = test_images
    results = {}
    for early in (False, True):
        attack = create("attacks", "fab_t", eps=0.1, steps=20, early_stop=early)
        crafted = run_attack(attack, trained, images, labels)
        clean = clean_predictions(trained, images)
        judged = audit(trained, attack, images, labels, crafted.images, clean=clean)
        results[early] = judged.success, crafted.gradients
    assert np.array_equal(results[True][0], results[False][0])
    assert results[True][1] < 0.7 * results[False][1]
