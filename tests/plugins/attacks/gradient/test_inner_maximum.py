"""On linear classifiers the highest loss inside the ball is known; attacks reach it."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.pairs import each_once, pairwise
from helpers.thinned import thinned
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

SHAPES = [(6, 5, 2), (8, 8, 1), (4, 4, 3)]
BATCH_SIZES = dict(zip(SHAPES, [1, 3, 8], strict=True))
NORMS = ["linf", "l2", "l1"]
ATTACKS = {
    "fgsm": {},
    "bim": {"early_stop": False},
    "mim": {"early_stop": False},
    "pgd": {"early_stop": False},
    "pgd margin": {"early_stop": False, "loss": "margin", "restarts": 2},
    "pgd dlr": {"early_stop": False, "loss": "dlr", "steps": 60},
    "apgd_ce": {"early_stop": False},
    "apgd_dlr": {"early_stop": False},
    "apgd_t": {"early_stop": False},
}


def highest_gain(classifier, images, labels, eps, norm):
    """Return max z_k − z_y over the ball, cut at [0, 1], less what it is at the image.

    Budgets of Linf and L2 are so small that the box does not bind. In L1 a pixel reaches
    its bound at once, and the maximum fills the steepest pixels one after the other.
    """
    weights = classifier.weights.numpy().astype(np.float64)
    slope = (weights[:, 1 - labels] - weights[:, labels]).T
    if norm != "l1":
        return eps * np.linalg.norm(slope, {"linf": 1, "l2": 2}[norm], axis=1)
    flat = images.reshape(len(images), -1).astype(np.float64)
    gains = np.zeros(len(images))
    for row, (own, pixels) in enumerate(zip(slope, flat, strict=True)):
        left = eps
        for pixel in np.argsort(-np.abs(own)):
            room = 1 - pixels[pixel] if own[pixel] > 0 else pixels[pixel]
            gains[row] += abs(own[pixel]) * min(left, room)
            left -= min(left, room)
    return gains


def lead(classifier, images, labels):
    logits = classifier(tf.constant(images)).numpy()
    rows = np.arange(len(labels))
    return logits[rows, 1 - labels] - logits[rows, labels]


@pytest.mark.parametrize(
    ("name", "norm", "shape"), thinned(pairwise(list(ATTACKS), NORMS, SHAPES), one_in=2)
)
def test_with_two_classes_the_inner_maximum_is_reached(name, norm, shape):
    batch_size = BATCH_SIZES[shape]
    classifier = LinearClassifier(shape, 2)
    images, labels = grey_images(classifier, 8, spread=0.3)
    nearest = float(classifier.least_perturbation(images, labels, norm).min())
    eps = 0.9 * nearest if norm != "l1" else 1.7
    attack = create("attacks", name.split()[0], eps=eps, norm=norm, **ATTACKS[name])
    crafted = run_attack(attack, classifier, images, labels, batch_size=batch_size).images
    gained = lead(classifier, crafted, labels) - lead(classifier, images, labels)
    best = highest_gain(classifier, images, labels, eps, norm)
    assert gained == pytest.approx(best, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("name", "norm"), each_once(list(ATTACKS), NORMS))
def test_ties_between_pixels_do_not_lower_the_maximum(name, norm):
    """Every pixel has one of two slopes, so that most are tied."""
    classifier = LinearClassifier((6, 5, 2), 2)
    weights = np.random.default_rng(1).choice([-0.1, 0.05], size=(60, 1)).astype(np.float32)
    classifier.weights.assign(np.concatenate([weights, -weights], axis=1))
    classifier.bias.assign([50.0, -50.0])
    images = np.random.default_rng(2).uniform(0.3, 0.7, (8, 6, 5, 2)).astype(np.float32)
    labels = np.zeros(8, np.int64)
    eps = {"linf": 0.2, "l2": 0.8, "l1": 3.3}[norm]
    attack = create("attacks", name.split()[0], eps=eps, norm=norm, **ATTACKS[name])
    crafted = run_attack(attack, classifier, images, labels).images
    judged = audit(classifier, attack, images, labels, crafted, clean=labels)
    assert not judged.violation.any()
    gained = lead(classifier, crafted, labels) - lead(classifier, images, labels)
    best = highest_gain(classifier, images, labels, eps, norm)
    assert gained == pytest.approx(best, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("step_size", [None, 0.03, 0.06])
def test_a_random_start_is_never_farther_than_the_steps_can_cross(steps, step_size):
    """From some starts in the ball, two steps of a quarter of it would end below the maximum."""
    classifier = LinearClassifier((6, 5, 2), 2)
    images, labels = grey_images(classifier, 8)
    eps = 0.9 * float(classifier.least_perturbation(images, labels, "linf").min())
    size = step_size and step_size / 0.1 * eps
    attack = create("attacks", "pgd", eps=eps, steps=steps, step_size=size)
    crafted = run_attack(attack, classifier, images, labels).images
    gained = lead(classifier, crafted, labels) - lead(classifier, images, labels)
    reach = min(eps, steps * (size or eps))
    best = highest_gain(classifier, images, labels, reach, "linf")
    assert (gained >= best * (1 - 1e-3)).all()


def test_restarts_that_would_all_be_the_same_are_refused(linear):
    for options in ({"random_start": False}, {"steps": 2, "step_size": 0.05}):
        attack = create("attacks", "pgd", eps=0.1, restarts=3, **options)
        with pytest.raises(UsageError, match="pgd: restarts: all 3 would start at the image"):
            run_attack(attack, *linear)


def test_momentum_continues_after_the_boundary_so_that_its_images_transfer(linear):
    classifier, images, labels = linear
    crafted = {
        early: run_attack(
            create("attacks", "mim", eps=0.3, early_stop=early), classifier, images, labels
        ).images
        for early in (True, False)
    }
    assert create("attacks", "mim").early_stop is False
    assert np.abs(crafted[False] - images).max() > 2 * np.abs(crafted[True] - images).max()


@pytest.mark.parametrize(
    "name", ["apgd_t", *(pytest.param(n, marks=pytest.mark.slow) for n in ("apgd_ce", "apgd_dlr"))]
)
def test_auto_pgd_that_fails_returns_its_highest_point_and_not_the_clean_image(name):
    classifier = LinearClassifier((6, 5, 2), 5)
    images, labels = grey_images(classifier, 8)
    eps = 0.5 * float(classifier.least_perturbation(images, labels, "linf").min())
    crafted = run_attack(create("attacks", name, eps=eps), classifier, images, labels).images
    assert np.array_equal(clean_predictions(classifier, crafted), labels)
    assert np.abs(crafted - images).max(axis=(1, 2, 3)) == pytest.approx(eps, rel=1e-4)
