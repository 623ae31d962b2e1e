"""Targeted attacks: how their classes are chosen, and which are refused."""

import numpy as np
import pytest

from tfrobust.engine.run import run_attack
from tfrobust.engine.targets import Portion, choose_targets, reachable
from tfrobust.errors import UsageError
from tfrobust.registry import create


def test_least_likely_is_the_class_of_the_smallest_logit(linear):
    classifier, images, labels = linear
    logits = classifier(images).numpy()
    chosen = choose_targets("least_likely", classifier, images, labels)
    assert np.array_equal(chosen, logits.argmin(axis=1))


def test_least_likely_is_never_the_label_even_of_a_misread_image(linear):
    classifier, images, _ = linear
    worst = classifier(images).numpy().argmin(axis=1)
    chosen = choose_targets("least_likely", classifier, images, worst)
    assert (chosen != worst).all()


def test_next_is_the_class_after_the_label(linear):
    classifier, images, _ = linear
    labels = np.arange(11) % 4
    chosen = choose_targets("next", classifier, images, labels)
    assert np.array_equal(chosen, (labels + 1) % 4)


def test_random_targets_cover_every_other_class_and_follow_the_seed(linear):
    classifier, images, _ = linear
    images, labels = np.repeat(images, 20, axis=0), np.zeros(220, np.int64)
    chosen = choose_targets("random", classifier, images, labels, seed=1)
    assert set(chosen.tolist()) == {1, 2, 3}
    assert np.array_equal(chosen, choose_targets("random", classifier, images, labels, seed=1))
    assert not np.array_equal(chosen, choose_targets("random", classifier, images, labels, seed=2))


@pytest.mark.parametrize("rule", ["random", "next", "least_likely"])
def test_the_targets_of_a_part_are_those_among_all(rule, linear):
    classifier, images, _ = linear
    images, labels = np.repeat(images, 20, axis=0), np.arange(220) % 4
    whole = choose_targets(rule, classifier, images, labels, seed=1)
    known = reachable(classifier, [images])
    parts = [
        choose_targets(rule, classifier, images[start : start + 64], labels[start : start + 64],
                       seed=1, portion=Portion(start, known))
        for start in range(0, 220, 64)
    ]  # fmt: skip
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("targets", "complaint"),
    [
        ("farthest", "expected least_likely, next or random; received: 'farthest'"),
        (np.full(11, 4), r"expected \(11,\) classes from 0 to 3; received: \(11,\) from 4 to 4"),
        (np.full(11, -1), "from -1 to -1"),
        (np.zeros(5), r"received: \(5,\)"),
    ],
)
def test_impossible_targets_are_refused(targets, complaint, linear):
    with pytest.raises(UsageError, match=complaint):
        choose_targets(targets, *linear)


def test_the_true_class_as_target_is_refused_and_the_image_named(linear):
    classifier, images, labels = linear
    targets = (labels + 1) % 4
    targets[3] = labels[3]
    with pytest.raises(UsageError, match=r"image 3 has its true class as target"):
        run_attack(create("attacks", "fgsm", targeted=True), classifier, images, labels,
                   targets=targets)  # fmt: skip


def test_an_untargeted_attack_has_no_targets(linear):
    assert run_attack(create("attacks", "fgsm"), *linear).targets is None


@pytest.mark.parametrize("rule", ["least_likely", "next", "random"])
def test_rules_leave_classes_of_nothing_known_alone(rule, linear):
    classifier, images, _ = linear
    labels = np.arange(11) % 3
    chosen = choose_targets(rule, classifier, images, labels, known=3)
    assert chosen.max() <= 2
    assert (chosen != labels).all()
