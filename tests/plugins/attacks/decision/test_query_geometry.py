"""rays, geoda and surfree on linear classifiers, where the nearest image is known."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.audited_runs import audited
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.decision.boundary_normals import estimated_normal
from tfrobust_attacks.decision.geoda import GeometricDecision
from tfrobust_attacks.decision.starting_points import Oracle
from tfrobust_attacks.shared.waves import cosine_waves

ALL = {"frequencies": 1.0}  # the weights are white noise
CLOSED_FORMS = {
    "rays": ("rays", "linf", {"queries": 700}, 1.005),
    "geoda-l2": ("geoda", "l2", {"queries": 1500, **ALL}, 1.2),
    "geoda-linf": ("geoda", "linf", {"queries": 1500, "norm": "linf", **ALL}, 1.2),
    "surfree": ("surfree", "l2", {"queries": 1000, **ALL}, 1.05),
}
CASES = [((6, 5, 2), 2, 3), ((8, 8, 1), 3, 8), ((4, 4, 3), 10, 1)]
SOME = [
    pytest.param(
        name, case, marks=[pytest.mark.slow] * (name == "geoda-linf" or (place + number) % 3 > 0)
    )
    for place, name in enumerate(CLOSED_FORMS)
    for number, case in enumerate(CASES)
]


@pytest.mark.parametrize(("name", "case"), SOME)
def test_the_nearest_image_is_found_but_for_a_few_percent(name, case):
    (attack, norm, options, bar), (shape, classes, batch_size) = CLOSED_FORMS[name], case
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels = grey_images(classifier, 6, spread=0.3)
    built = create("attacks", attack, **options)
    _, verdict, _ = audited(built, classifier, images, labels, batch_size=batch_size)
    quotient = verdict.distance[norm] / classifier.least_perturbation(images, labels, norm)
    assert verdict.success.all()
    assert np.median(quotient) <= bar
    assert (quotient >= 1 - 1e-4).all()


class ClassOnly(Wrapped):
    """Logits that show the class and nothing else."""

    def __call__(self, images):
        return 3.0 * tf.one_hot(tf.argmax(self.inner(images), axis=1), self.num_classes)


@pytest.mark.parametrize(
    "name", ["rays", *(pytest.param(name, marks=pytest.mark.slow) for name in ("geoda", "surfree"))]
)
def test_only_the_predicted_class_is_read(name, linear):
    classifier, images, labels = linear
    attack = create("attacks", name, queries=140)
    open_, closed = (
        run_attack(attack, seen, images, labels).images
        for seen in (classifier, ClassOnly(classifier))
    )
    assert np.array_equal(open_, closed)
    assert not np.array_equal(open_, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rays", "geoda", "surfree"])
def test_more_queries_never_lead_farther_away(name, reference):
    images, labels = reference.images[:30], reference.labels[:30]
    medians = []
    for queries in (150, 400, 1200):
        attack = create("attacks", name, queries=queries)
        _, verdict, _ = audited(attack, reference.classifier, images, labels)
        medians.append(np.median(verdict.distance[attack.threat.norm][verdict.success]))
    assert medians[0] > medians[1] > medians[2]


@pytest.mark.slow  # the contract asks it of every attack
@pytest.mark.parametrize("name", ["geoda", "surfree"])
def test_a_search_reaches_every_target_on_a_linear_classifier(name):
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    attack = create("attacks", name, targeted=True, queries=140)
    results = run_attack(attack, classifier, images, labels, targets="next")
    assert np.array_equal(clean_predictions(classifier, results.images), results.targets)


def test_the_normal_of_a_plane_is_estimated_from_decisions():
    classifier = LinearClassifier((6, 5, 2), 2)
    weights = (classifier.weights[:, 1] - classifier.weights[:, 0]).numpy().reshape(6, 5, 2)
    grey = np.full((1, 6, 5, 2), 0.5, np.float32)  # on the boundary
    normal = estimated_normal(
        Oracle(classifier, tf.constant([0], tf.int64), False),
        tf.constant(grey),
        lambda group: tf.random.stateless_normal((8, 6, 5, 2), tf.stack([3, group])),
        probes=4003,
        width=tf.constant([0.01]),
    ).numpy()[0]
    cosine = (normal * weights).sum() / np.linalg.norm(normal) / np.linalg.norm(weights)
    # 1 / √(1 + π/2 (d − 1) / n) is expected: 0.99 at n = 4,003 and d = 60.
    assert cosine > 0.98


@pytest.mark.parametrize("left", [0, 29, 30, 500, 5000])
def test_the_steps_of_geoda_cost_what_is_left_and_no_more(left):
    attack = GeometricDecision(queries=9)
    probes = attack._schedule(left)
    spent = sum(probes) + len(probes) * (3 + attack._halvings)
    assert spent <= left
    if probes:
        assert spent >= left - len(probes)
        assert len(probes) == 1 or probes[0] >= 120
        growth = np.divide(probes[1:], probes[:-1])
        assert growth == pytest.approx(np.full(len(growth), 0.6 ** (-2 / 3)), rel=0.05)
    else:
        assert left < 3 + attack._halvings + 20


@pytest.mark.parametrize(("side", "share", "count"), [(1, 1.0, 1), (8, 1.0, 8), (9, 0.5, 5)])
def test_cosine_waves_are_orthonormal_and_as_many_as_their_share(side, share, count):
    waves = cosine_waves(side, share)
    assert waves.shape == (count, side)
    assert waves @ waves.T == pytest.approx(np.eye(count), abs=1e-6)
    assert waves[0] == pytest.approx(np.full(side, side**-0.5))
