"""Images that look like nothing and are classified with near certainty."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.inference import predict
from tfrobust.registry import create
from tfrobust_attacks.fooling import _mutated

METHODS = ("gradient", "evolution")


def probabilities(classifier, images):
    return tf.nn.softmax(predict(classifier, images)).numpy()


@pytest.mark.parametrize("method", METHODS)
def test_it_is_sure_of_its_target_and_nothing_of_the_image_remains(trained, test_images, method):
    images, labels = (part[:20] for part in test_images)
    attack = create("attacks", "fooling", method=method, steps=3000, step_size=0.05)
    crafted = run_attack(attack, trained, images, labels, targets="next")
    sure = probabilities(trained, crafted.images)[np.arange(20), crafted.targets]
    assert (sure >= 0.99 - 1e-4).all()
    other = run_attack(attack, trained, 1 - images, labels, targets="next")
    here, there = (
        np.corrcoef(crafted.images.ravel(), each.ravel())[0, 1] for each in (images, 1 - images)
    )
    assert abs(here) < 0.2
    assert abs(there) < 0.2
    assert other.images.shape == images.shape


def test_less_confidence_takes_fewer_queries(trained, test_images):
    images, labels = (part[:20] for part in test_images)
    cost = [
        run_attack(
            create("attacks", "fooling", confidence=confidence), trained, images, labels
        ).queries
        for confidence in (0.5, 0.9, 0.999)
    ]
    assert cost[0] < cost[1] < cost[2]


@pytest.mark.parametrize("method", METHODS)
def test_without_targets_it_is_sure_of_another_class(trained, test_images, method):
    images, labels = (part[:20] for part in test_images)
    attack = create("attacks", "fooling", method=method, targeted=False, steps=3000)
    found = probabilities(trained, run_attack(attack, trained, images, labels).images)
    assert (found.argmax(1) != labels).all()
    assert (found.max(1) > 0.98).all()


def test_evolution_asks_for_no_gradient(trained, test_images):
    attack = create("attacks", "fooling", method="evolution", steps=50)
    crafted = run_attack(attack, trained, *(part[:5] for part in test_images))
    assert crafted.gradients == 0 < crafted.queries
    assert attack.threat.knowledge == "score"


def test_mutation_changes_a_tenth_of_the_pixels_a_little_and_half_as_many_later():
    images = tf.fill((1, 60, 60, 3), 0.5)
    early, late = (
        (_mutated(images, tf.constant([7, number])) - images).numpy() for number in (0, 1000)
    )
    assert (early != 0).mean() == pytest.approx(0.1, abs=0.01)
    assert (late != 0).mean() == pytest.approx(0.05, abs=0.01)
    changed = early[early != 0]
    assert abs(changed.mean()) < 0.01
    # Of polynomial mutation: E δ² = 2 / ((η + 2)(η + 3)) for the index η, before the cut.
    assert np.square(changed).mean() == pytest.approx(2 / (17 * 18), rel=0.15)


def test_a_confidence_of_one_is_refused():
    with pytest.raises(UsageError, match=r"fooling: confidence: .*received: 1"):
        create("attacks", "fooling", confidence=1.0)
