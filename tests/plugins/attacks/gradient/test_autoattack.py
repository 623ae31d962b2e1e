"""AutoAttack's versions, and its targeted parts, which are exact where the truth is known."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create, name_of
from tfrobust.testing import LinearClassifier, grey_images, small_classifier


class Jittered(Wrapped):
    """A classifier that adds new noise to its images at every call."""

    def __init__(self, inner):
        super().__init__(inner, stochastic=True)
        self.draws = tf.random.Generator.from_seed(3)

    def __call__(self, images):
        return self.inner(images + self.draws.normal(tf.shape(images), stddev=0.05))


CASES = [(norm, classes) for norm in ("linf", "l2") for classes in (2, 3, 10)]
FAST = [("apgd_t", "linf", 10), ("apgd_t", "l2", 2), ("autoattack", "l2", 2)]


@pytest.mark.parametrize(
    ("name", "norm", "classes"),
    [
        pytest.param(name, *case, marks=[] if (name, *case) in FAST else pytest.mark.slow)
        for name in ("apgd_t", "autoattack")
        for case in CASES
    ],
)
def test_exactly_those_images_break_whose_least_perturbation_is_within_budget(name, norm, classes):
    options = {"apgd_t": {"steps": 30}, "autoattack": {"steps": 20, "queries": 50}}[name]
    classifier = LinearClassifier((6, 5, 2), classes, seed=classes)
    images, labels = grey_images(classifier, 12, spread=0.3)
    least = classifier.least_perturbation(images, labels, norm)
    eps = float(np.sort(least)[5:7].mean())
    attack = create("attacks", name, eps=eps, norm=norm, **options)
    crafted = run_attack(attack, classifier, images, labels)
    judged = audit(classifier, attack, images, labels, crafted.images, clean=labels)
    assert np.array_equal(judged.success, least < eps)
    assert not judged.violation.any()


@pytest.mark.parametrize("name", ["apgd_t", "fab_t"])
def test_a_number_of_runs_beyond_the_loop_counter_is_not_cut(name):
    classifier = LinearClassifier((2, 2, 1), 5)
    images, labels = grey_images(classifier, 3)
    eps = 2 * float(classifier.least_perturbation(images, labels, "linf").max())
    options = {"eps": eps, "steps": 20, "target_classes": 4, "early_stop": True}
    attack = create("attacks", name, restarts=2**30, **options)  # 2³² runs: 0 in int32
    crafted = run_attack(attack, classifier, images, labels).images
    assert (clean_predictions(classifier, crafted) != labels).all()


def test_the_versions_have_the_published_parts():
    def parts(version, norm):
        return [
            name_of(part) for part in create("attacks", "autoattack", version=version).attacks()
        ]

    assert parts("standard", "linf") == ["apgd_ce", "apgd_t", "fab_t", "square"]
    assert parts("plus", "linf") == ["apgd_ce", "apgd_dlr", "fab", "square", "apgd_t", "fab_t"]
    assert parts("rand", "linf") == ["apgd_ce", "apgd_dlr"]


@pytest.mark.slow
def test_plus_leaves_no_more_images_unbroken_than_standard(trained, test_images):
    images, labels = (array[:20] for array in test_images)
    clean = clean_predictions(trained, images)
    left = {}
    for version in ("standard", "plus"):
        attack = create(
            "attacks",
            "autoattack",
            eps=0.1,
            version=version,
            steps=10,
            queries=100,
            target_classes=3,
        )
        crafted = run_attack(attack, trained, images, labels).images
        judged = audit(trained, attack, images, labels, crafted, clean=clean)
        assert not judged.violation.any()
        left[version] = int((judged.prediction == labels).sum())
    assert left["plus"] <= left["standard"] < (clean == labels).sum()


def test_rand_averages_its_gradients_and_breaks_a_random_classifier():
    inner = small_classifier()
    images, labels = grey_images(inner, 12)
    random, costs = Jittered(inner), {}
    for samples in (1, 10):
        attack = create("attacks", "autoattack", eps=0.3, version="rand", steps=10, samples=samples)
        crafted = run_attack(attack, random, images, labels)
        costs[samples] = crafted.gradients
    broken = clean_predictions(inner, crafted.images) != labels
    assert broken.mean() > 0.8
    assert costs[10] > 5 * costs[1]
