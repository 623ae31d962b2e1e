"""Attacks with a budget of queries keep to it for every image, on classifiers without gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images

SCORE = {
    "bandits": {"eps": 1e-4},
    "nes": {"eps": 1e-4, "samples_per_step": 8},
    "sign_hunter": {"eps": 1e-4},
    "simba": {"step_size": 1e-5},
    "sparse_rs": {"eps": 0.0},
    "spsa": {"eps": 1e-4, "samples_per_step": 8},
    "square": {"eps": 1e-4},
    "zoo": {"coordinates": 4, "learning_rate": 1e-6},
}
DECISION = [
    "boundary",
    "geoda",
    "hopskipjump",
    "pointwise",
    "rays",
    "salt_and_pepper",
    "spatial",
    "surfree",
]
OTHERS_TEST = {"boundary", "hopskipjump", "spsa", "zoo"}  # their budgets, though not on an endpoint
SPENT_IN_FULL = ["bandits", "sign_hunter", "simba", "square"]
SEVERAL = [1, 2, 3, 60]


def marked(names):
    """Return the names, slow where another test asks nearly the same."""
    return [pytest.param(n, marks=[pytest.mark.slow] * (n in OTHERS_TEST)) for n in names]


class Endpoint(Wrapped):
    """Answers outside of TensorFlow, and counts the queries by the clean image they are near."""

    def __init__(self, inner, clean):
        super().__init__(inner, differentiable=False)
        self.clean, self.counts = clean.reshape(len(clean), -1), np.zeros(len(clean), int)

    def __call__(self, images):
        logits = tf.py_function(self._answer, [images], tf.float32)
        return tf.ensure_shape(logits, (None, self.num_classes))

    def _answer(self, images):
        flat = images.numpy().reshape(len(images), 1, -1)
        nearest = np.abs(flat - self.clean).sum(axis=2).argmin(axis=1)
        np.add.at(self.counts, nearest, 1)
        return self.inner(images)


def endpoint(count=4):
    """Return an endpoint, images and labels."""
    classifier = LinearClassifier((6, 5, 2), 3)
    images, labels = grey_images(classifier, count, spread=0.3)
    return Endpoint(classifier, images), images, labels


@pytest.mark.parametrize(
    "queries", [pytest.param(q, marks=[pytest.mark.slow] * (q < 60)) for q in SEVERAL]
)
@pytest.mark.parametrize("name", marked(SCORE))
def test_no_image_costs_one_query_more_than_allowed(name, queries):
    served, images, labels = endpoint()
    labels[0] = (labels[0] + 1) % 3  # misclassified: one query is enough
    attack = create("attacks", name, queries=queries, **SCORE[name])
    unbroken = run_attack(attack, served, images, labels).images
    assert np.array_equal(unbroken[0], images[0])
    assert (served.counts <= queries + attack.minimum_norm).all()  # the engine asks one, see below
    assert served.counts[0] <= 2 + attack.minimum_norm
    if name in SPENT_IN_FULL:
        assert (served.counts[1:] == queries + attack.minimum_norm).all()


@pytest.mark.parametrize("queries", [1, 4, pytest.param(40, marks=pytest.mark.slow), 130])
@pytest.mark.parametrize("name", marked(DECISION))
def test_no_image_costs_a_decision_based_attack_one_query_more_than_allowed(name, queries):
    served, images, labels = endpoint(1)
    attack = create("attacks", name, queries=queries)
    crafted = run_attack(attack, served, images, labels)
    assert crafted.queries <= queries
    # The size of the clean logits is not counted.
    assert served.counts.sum() == crafted.queries + attack.minimum_norm
    if queries > 40 and name != "spatial":
        assert clean_predictions(served, crafted.images)[0] != labels[0]


@pytest.mark.parametrize("queries", [60, pytest.param(250, marks=pytest.mark.slow)])
def test_refining_is_part_of_the_budget_of_pointwise(queries):
    classifier = LinearClassifier((6, 5, 2), 3)
    images, labels = grey_images(classifier, 1, spread=0.3)
    attack = create("attacks", "pointwise", queries=queries, refine=True)
    crafted = run_attack(attack, classifier, images, labels)
    assert queries / 2 < crafted.queries <= queries
    assert clean_predictions(classifier, crafted.images)[0] != labels[0]
