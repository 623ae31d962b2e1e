"""A user's mistake with any attack costs one clear line."""

import dataclasses

import numpy as np
import pytest

from helpers.support import small_model
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.run import run_attack
from tfrobust.errors import ClassifierError, UsageError
from tfrobust.options import option_names
from tfrobust.registry import create, entries
from tfrobust.testing import LinearClassifier, grey_images

CLASSES = {entry.name: entry.load() for entry in entries("attacks")}


def names_with(option):
    return [name for name, cls in CLASSES.items() if option in option_names(cls)]


@pytest.mark.parametrize("name", names_with("norm"))
def test_a_norm_the_attack_does_not_know_is_refused(name):
    with pytest.raises(UsageError, match=f"{name}: norm: .*received: 'l7'"):
        create("attacks", name, norm="l7")


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for option in ("steps", "queries") for name in names_with(option)],
)
def test_fewer_than_one_step_or_query_is_refused(name, option):
    with pytest.raises(UsageError, match=f"{name}: {option}: .*received: 0"):
        create("attacks", name, **{option: 0})


@pytest.mark.parametrize("name", names_with("eps"))
def test_a_budget_beyond_the_range_of_pixels_is_refused(name, linear):
    classifier, images, labels = linear
    attack = create("attacks", name, eps=255.0 * 60)
    with pytest.raises(UsageError, match=f"{name}: eps: no two images .*received: 15300"):
        run_attack(attack, classifier, images, labels)


def test_eps_in_units_of_255_gets_a_hint(linear):
    with pytest.raises(UsageError, match="received: 8; pixels run from 0 to 1: divide by 255"):
        run_attack(create("attacks", "pgd", eps=8), *linear)


@pytest.mark.parametrize("name", names_with("targeted"))
def test_targets_must_exist_and_must_not_be_the_true_classes(name, linear):
    classifier, images, labels = linear
    attack = dataclasses.replace(create("attacks", name), targeted=True)
    with pytest.raises(UsageError, match=r"targets: .*received: none"):
        run_attack(attack, classifier, images, labels, targets=None)
    with pytest.raises(UsageError, match="targets: image 0 has its true class as target"):
        run_attack(attack, classifier, images, labels, targets=labels)


@pytest.mark.parametrize(
    "name",
    [n for n, cls in CLASSES.items() if create("attacks", n).threat.knowledge == "white-box"],
)
def test_a_white_box_attack_needs_gradients(name):
    classifier = LinearClassifier().replace(differentiable=False)
    images, labels = grey_images(classifier, 2)
    with pytest.raises(UsageError, match=f"{name} needs gradients and this classifier has none"):
        run_attack(create("attacks", name), classifier, images, labels)


def test_a_network_of_probabilities_is_refused_before_any_attack_meets_it():
    with pytest.raises(ClassifierError, match="softmax"):
        KerasClassifier(small_model(softmax=True))


@pytest.mark.parametrize(
    "name", ["apgd_dlr", "apgd_t", pytest.param("autoattack", marks=pytest.mark.slow)]
)
def test_an_attack_on_two_classes_has_its_losses(name):
    """DLR compares with the third logit, which a binary classifier does not have."""
    classifier = LinearClassifier(num_classes=2)
    images, labels = grey_images(classifier, 6)
    eps = 1.05 * float(classifier.least_perturbation(images, labels, "linf").max())
    options = {"queries": 10} if name == "autoattack" else {}
    attack = create("attacks", name, eps=eps, **options)
    crafted = run_attack(attack, classifier, images, labels)
    assert (classifier(crafted.images).numpy().argmax(axis=1) != labels).all()
    assert np.abs(crafted.images - images).max() <= eps * (1 + 1e-5)
