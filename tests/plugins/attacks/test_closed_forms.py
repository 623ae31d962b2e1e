"""On linear classifiers the optimum of an attack is known, and our attacks reach it."""

import numpy as np
import pytest

from helpers.pairs import each_once, pairwise
from helpers.thinned import thinned
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

SHAPES = [(6, 5, 2), (8, 8, 1), (4, 4, 3)]
DUAL = {"linf": 1, "l2": 2}


def carlini_wagner(classifier, batch_size=128, count=4):
    """Return images, labels and the images that CW crafts from them."""
    images, labels = grey_images(classifier, count, spread=0.3)
    attack = create("attacks", "cleverhans_cw_l2", learning_rate=1e-3)
    crafted = run_attack(attack, classifier, images, labels, batch_size=batch_size)
    judged = audit(classifier, attack, images, labels, crafted.images, clean=labels)
    return images, labels, judged


@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("shape", "batch_size"), each_once(SHAPES, [1, 3, 8]))
def test_carlini_wagner_comes_within_a_twentieth_of_the_least_perturbation(
    shape, batch_size, count
):
    classifier = LinearClassifier(shape, 2, seed=2)
    images, labels, judged = carlini_wagner(classifier, batch_size, count)
    least = classifier.least_perturbation(images, labels, "l2")
    assert judged.success.all()
    assert (judged.distance["l2"] <= 1.05 * least).all()
    assert (judged.distance["l2"] >= least * (1 - 1e-4)).all()


@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("classes", "shape"), each_once([3, 5, 10], SHAPES))
def test_carlini_wagner_comes_within_a_twentieth_of_the_distance_to_its_target_class(
    classes, shape, count
):
    """The objective follows the runner-up, which need not be the nearest class in L2."""
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels, judged = carlini_wagner(classifier, count=count)
    logits, weights = classifier(images).numpy(), classifier.weights.numpy()
    rows, reached = np.arange(len(labels)), judged.prediction
    gap = logits[rows, labels] - logits[rows, reached]
    boundary = gap / np.linalg.norm(weights[:, labels] - weights[:, reached], axis=0)
    assert judged.success.all()
    assert (judged.distance["l2"] <= 1.05 * boundary).all()
    least = classifier.least_perturbation(images, labels, "l2")
    assert np.median(judged.distance["l2"] / least) <= 1.05


def at_eps(name, *, eps, norm, **options):
    """Build an attack whose steps are so long that its start does not matter."""
    length = {"pgd": "step_size", "fgsm": None, "cleverhans_fgsm": None}.get(name, "eps_iter")
    steps = {length: 0.8 * eps} if length else {}
    return create("attacks", name, eps=eps, norm=norm, **steps, **options)


FIXED_BUDGET = [
    ("fgsm", {}),
    ("pgd", {"steps": 20}),
    ("pgd", {"steps": 20, "early_stop": False}),
    ("pgd", {"steps": 20, "restarts": 2}),
    ("cleverhans_fgsm", {}),
    ("cleverhans_bim", {"nb_iter": 20}),
    ("cleverhans_pgd", {"nb_iter": 20}),
    ("cleverhans_madry", {"nb_iter": 20}),
    ("cleverhans_mim", {"nb_iter": 20}),
]


@pytest.mark.parametrize(
    ("attack", "shape", "norm"), thinned(pairwise(FIXED_BUDGET, SHAPES, ["linf", "l2"]), one_in=2)
)
def test_with_two_classes_fixed_budget_attacks_reach_the_inner_maximum(attack, shape, norm):
    name, options = attack
    classifier = LinearClassifier(shape, 2)
    images, labels = grey_images(classifier, 8, spread=0.3)
    # Too small to change a class, so that early stopping never ends below the maximum.
    eps = 0.9 * float(classifier.least_perturbation(images, labels, norm).min())
    attack = at_eps(name, eps=eps, norm=norm, **options)
    crafted = run_attack(attack, classifier, images, labels, batch_size=3)
    weights = classifier.weights.numpy()
    reachable = eps * np.linalg.norm(weights[:, 0] - weights[:, 1], DUAL[norm])
    gained = margin(classifier, images, labels) - margin(classifier, crafted.images, labels)
    assert gained == pytest.approx(reachable, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("attack", "norm"), each_once(FIXED_BUDGET, ["linf", "l2"]))
def test_with_two_classes_exactly_those_images_break_whose_least_perturbation_is_within_budget(
    attack, norm
):
    name, options = attack
    classifier = LinearClassifier((6, 5, 2), 2, seed=4)
    images, labels = grey_images(classifier, 12)
    least = classifier.least_perturbation(images, labels, norm)
    eps = float(np.sort(least)[5:7].mean())
    attack = at_eps(name, eps=eps, norm=norm, **options)
    crafted = run_attack(attack, classifier, images, labels)
    judged = audit(classifier, attack, images, labels, crafted.images, clean=labels)
    assert np.array_equal(judged.success, least < eps)
    assert not judged.violation.any()


TARGETED = [
    ("fgsm", {}),
    ("pgd", {"steps": 10}),
    ("cleverhans_fgsm", {}),
    ("cleverhans_bim", {"nb_iter": 10}),
    ("cleverhans_pgd", {"nb_iter": 10}),
    ("cleverhans_madry", {"nb_iter": 10}),
    ("cleverhans_mim", {"nb_iter": 10, "eps_iter": None}),
]


@pytest.mark.parametrize(("attack", "norm"), each_once(TARGETED, ["l2", "linf"]))
def test_targeted_attacks_reach_the_one_other_class_of_two(attack, norm):
    name, options = attack
    classifier = LinearClassifier((6, 5, 2), 2)
    images, labels = grey_images(classifier, 8)
    eps = 1.1 * float(classifier.least_perturbation(images, labels, norm).max())
    attack = create("attacks", name, eps=eps, norm=norm, targeted=True, **options)
    crafted = run_attack(attack, classifier, images, labels)
    assert np.array_equal(clean_predictions(classifier, crafted.images), 1 - labels)


def margin(classifier, images, labels):
    """Return z_y − z_k of the other of two classes."""
    logits = classifier(images).numpy()
    rows = np.arange(len(labels))
    return logits[rows, labels] - logits[rows, 1 - labels]
