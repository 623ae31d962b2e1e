"""Attacks that consist of other attacks."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.attack import Attack, Threat
from tfrobust.engine.ensemble import Ensemble
from tfrobust.engine.run import run_attack
from tfrobust.options import option, plugin
from tfrobust.random import content_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

SEEN = []


@plugin
class Recorder(Attack):
    """Notes how many images it receives, and changes none."""

    eager = True

    @property
    def threat(self):
        return Threat("none", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        SEEN.append(len(images))
        return images


@plugin
class Chain(Ensemble):
    """FGSM between two recorders."""

    eps: float = option("radius", default=0.1, ge=0)

    @property
    def threat(self):
        return Threat("white-box", "linf")

    def attacks(self):
        return [Recorder(), create("attacks", "fgsm", eps=self.eps), Recorder()]


@plugin
class TooFar(Chain):
    """A part that breaks every image, but beyond the budget."""

    def attacks(self):
        return [create("attacks", "deepfool", norm="linf")]


@plugin
class Mixed(Chain):
    """A part that draws its start, and one that draws its queries."""

    def attacks(self):
        start = create("attacks", "pgd", eps=self.eps, steps=1)
        return [start, create("attacks", "square", eps=self.eps, queries=5)]


@pytest.fixture
def setting():
    classifier = LinearClassifier(num_classes=2)
    images, labels = grey_images(classifier, 40)
    labels = labels.copy()
    labels[:4] = 1 - labels[:4]  # wrong from the start
    least = classifier.least_perturbation(
        images, np.where(np.arange(40) < 4, 1 - labels, labels), "linf"
    )
    return classifier, images, labels, float(np.median(least))


def test_each_part_attacks_only_the_images_that_are_still_unbroken(setting):
    classifier, images, labels, eps = setting
    SEEN.clear()
    crafted = run_attack(Chain(eps=eps), classifier, images, labels, batch_size=64).images
    broken = classifier(crafted).numpy().argmax(axis=1) != labels
    assert [36, 40 - broken.sum()] == SEEN
    assert 4 < broken.sum() < 40


def test_images_that_all_parts_fail_on_or_that_were_wrong_before_come_back_unchanged(setting):
    classifier, images, labels, eps = setting
    crafted = run_attack(Chain(eps=eps), classifier, images, labels).images
    unbroken = classifier(crafted).numpy().argmax(axis=1) == labels
    assert np.array_equal(crafted[unbroken], images[unbroken])
    assert np.array_equal(crafted[:4], images[:4])


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_direct_call_does_the_same(whole, setting):
    classifier, images, labels, eps = setting
    chain = Mixed(eps=eps)
    if whole:
        chain = create("attacks", "autoattack", eps=eps, steps=5, queries=20)
    smart = run_attack(chain, classifier, images, labels, seed=3).images
    seeds = tf.constant(content_seeds(3, images))
    plain = chain(classifier, tf.constant(images), tf.constant(labels), seed=seeds).numpy()
    assert plain == pytest.approx(smart, abs=1e-5)
    assert not np.array_equal(smart, images)


def test_images_beyond_the_budget_are_not_taken(setting):
    classifier, images, labels, eps = setting
    crafted = run_attack(TooFar(eps=eps), classifier, images, labels).images
    assert np.abs(crafted - images).max() <= eps + 1e-6
    assert 4 < (classifier(crafted).numpy().argmax(axis=1) != labels).sum() < 40


def test_progress_counts_the_images_that_earlier_parts_broke(setting):
    classifier, images, labels, eps = setting
    counts = []
    run_attack(Chain(eps=eps), classifier, images, labels, batch_size=8, on_progress=counts.append)
    assert counts[-1] == 40
    assert max(counts) == 40
