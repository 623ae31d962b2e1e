"""Attacks that begin at points they are given."""

import numpy as np
import pytest

from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

EPS = 0.3


@pytest.fixture(scope="module")
def broken():
    """Images, their classes, and points of the ball where the class is another one."""
    classifier = LinearClassifier(image_shape=(4, 4, 1), num_classes=3)
    images, labels = grey_images(classifier, 12)
    crafted = run_attack(create("attacks", "fgsm", eps=EPS), classifier, images, labels).images
    some = np.asarray(classifier(crafted)).argmax(axis=1) != labels
    assert some.any()
    return classifier, images[some], labels[some], crafted[some]


@pytest.mark.parametrize(
    "name", ["pgd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mim", "apgd_t"))]
)
def test_an_image_that_starts_broken_costs_one_gradient(name, broken):
    classifier, images, labels, points = broken
    attack = create("attacks", name, eps=EPS, early_stop=True)
    assert attack.takes_starts
    assert attack.continued().steps == attack.steps // 5
    crafted = run_attack(attack, classifier, images, labels, starts=points)
    assert crafted.gradients == len(images)
    np.testing.assert_array_equal(crafted.images, points)


@pytest.mark.slow
def test_only_the_first_of_several_starts_is_given(broken):
    classifier, images, labels, _ = broken
    options = {"eps": 1e-3, "steps": 5, "restarts": 3, "early_stop": False}
    for name, gradients in (("pgd", 3), ("apgd_ce", 6)):  # one step a start; Auto-PGD looks first
        attack = create("attacks", name, **options)
        crafted = run_attack(attack, classifier, images, labels, starts=images)
        assert crafted.gradients == gradients * len(images)


def test_starting_points_of_another_shape_are_refused(broken):
    classifier, images, labels, points = broken
    with pytest.raises(UsageError, match=r"starts: expected float32 .*received: float64"):
        run_attack(
            create("attacks", "pgd"), classifier, images, labels, starts=points.astype(np.float64)
        )
