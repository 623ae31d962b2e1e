"""With the peers' parameters our attacks match or beat them on the same small network."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.matches import entries
from benchmarks.reference import Shared, measure
from helpers.audited_runs import audited
from helpers.thinned import thinned
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.norms import ball
from tfrobust.random import content_seeds, fold
from tfrobust.registry import create

# `make reference` runs them all; these take seconds.
ELSEWHERE = [  # the tests of these attacks compare them with the same peers, or with the optimum
    "pgd_linf_0.1",
    "pgd_l2_2.0",
    "autoattack_standard_Linf_0.2/apgd-t",
    "deepfool_l2",
    "deepfool_linf",
    "salt_and_pepper",
    "jsma_targeted_0.1",
    "square_linf_0.2_1000",
]
FAST = [
    "fgsm_linf",
    "pgd_linf_0.2",
    *(pytest.param(key, marks=pytest.mark.slow) for key in ELSEWHERE),
    "autoattack_standard_Linf_0.2/apgd-ce",
    "autoattack_standard_L2_1.5/apgd-ce",
]
PGD = {
    "pgd_linf_0.1": {"eps": 0.1, "step_size": 0.01},
    "pgd_linf_0.2": {"eps": 0.2, "step_size": 0.02},
    "pgd_l2_2.0": {"eps": 2.0, "step_size": 0.2, "norm": "l2"},
}


@pytest.fixture(scope="module")
def shared(reference):
    return Shared(reference.classifier, reference.images, reference.labels, reference.peers)


@pytest.mark.parametrize("key", FAST)
def test_with_a_peers_parameters_ours_leaves_no_more_images_unbroken_and_goes_no_farther(
    shared, key
):
    entry = {entry.key: entry for entry in entries(shared.peers)}[key]
    row = measure(shared, entry)
    assert row["holds"], f"{row['accuracy']} at {row['norm']}; the peer: {entry.peer}"


def judged(reference, attack, count=200, seed=0):
    images, labels = reference.first(count)
    run = audited(attack, reference.classifier, images, labels, seed=seed)
    assert not run.audit.violation.any()
    return run.audit, run.right(labels)


def test_the_reference_network_has_the_accuracy_of_its_card(reference):
    clean = clean_predictions(reference.classifier, reference.images)
    assert (clean == reference.labels).mean() == pytest.approx(reference.peers["clean_accuracy"])


def test_cleverhans_fgsm_is_as_strong_as_foolbox(reference):
    _, right = judged(reference, create("attacks", "cleverhans_fgsm", eps=0.1))
    assert right.mean() <= reference.peers["fgsm_linf"]["robust_accuracy"] + 1e-9


@pytest.mark.parametrize("count", [100, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("key", thinned(PGD, one_in=2))
def test_pgd_breaks_whatever_the_papers_loop_breaks_from_the_same_start(reference, key, count):
    attack = create("attacks", "pgd", **PGD[key])
    images, labels = reference.first(count)
    loop = papers_loop(reference.classifier, attack, images, labels)
    for seed in range(3):
        verdict, _ = judged(reference, attack, count=count, seed=seed)
        broken = clean_predictions(reference.classifier, loop(seed)) != labels
        assert not (broken & ~verdict.success).any()


def papers_loop(classifier, attack, images, labels):
    """Return what returns, of a seed, the last iterate of PGD on cross-entropy.

    Step by step as Foolbox does it.
    """
    geometry, x = ball(attack.norm), tf.constant(images)
    region = geometry.region(x, attack.eps)

    @tf.function(autograph=False)
    def step(current):
        with tf.GradientTape() as tape:
            tape.watch(current)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, classifier(current))
        direction = geometry.steepest(tape.gradient(losses, current))
        return geometry.project(current + attack.step_size * direction, region)

    def run(seed):
        seeds = fold(content_seeds(seed, images), 0)
        current = tf.clip_by_value(x + geometry.draw(seeds, x.shape[1:], attack.eps), 0.0, 1.0)
        for _ in range(attack.steps):
            current = step(current)
        return current.numpy()

    return run


@pytest.mark.slow
def test_carlini_wagner_finds_images_as_near_as_foolbox(reference):
    """Foolbox's parameters: 9 rounds of 1,000 steps at a rate of 0.01."""
    attack = create(
        "attacks",
        "cleverhans_cw_l2",
        binary_search_steps=9,
        max_iterations=1000,
        learning_rate=0.01,
        initial_const=1e-3,
    )
    verdict, right = judged(reference, attack, count=50)
    assert right.mean() == 0
    clean = clean_predictions(reference.classifier, reference.images[:50])
    broken = verdict.success & (clean == reference.labels[:50])
    peer = reference.peers["cw_l2"]["median_l2"]
    assert np.median(verdict.distance["l2"][broken]) <= 1.02 * peer


def test_carlini_wagner_breaks_every_image_with_a_tenth_of_foolboxs_steps(reference):
    attack = create("attacks", "cleverhans_cw_l2", max_iterations=200, learning_rate=0.02)
    verdict, right = judged(reference, attack, count=20)
    assert right.mean() == 0
    assert np.median(verdict.distance["l2"]) <= 1.25 * reference.peers["cw_l2"]["median_l2"]
