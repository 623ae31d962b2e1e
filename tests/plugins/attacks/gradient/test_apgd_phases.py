"""In L1, Auto-PGD starts in larger balls; in other norms it has one phase."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.attack import Attack
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.norms import ball
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.gradient import auto_pgd
from tfrobust_attacks.gradient.apgd_schedule import Schedule, checkpoints, schedule


def one_phase(norm, steps):
    return Schedule((1.0,) * steps, (False,) * steps, tuple(checkpoints(steps)))


def test_phases_of_three_two_and_one_radius_share_the_steps():
    assert schedule("l1", 100).factors == (3.0,) * 30 + (2.0,) * 30 + (1.0,) * 40
    assert [k for k, begins in enumerate(schedule("l1", 100).begins) if begins] == [30, 60]
    for steps in range(1, 60):
        phases = schedule("l1", steps)
        assert len(phases.factors) == len(phases.begins) == len(phases.lengths) == steps
        assert phases.factors[-1] == 1.0
        assert sum(phases.begins) == len(set(phases.factors)) - 1
        # No checkpoint looks back into the phase before.
        starts = [0, *(k + 1 for k, begins in enumerate(phases.begins) if begins)]
        for step, length in enumerate(phases.lengths):
            assert length <= step + 1 - max((k for k in starts if k <= step), default=0)


def test_in_other_norms_there_is_one_phase():
    for norm in ("linf", "l2"):
        for steps in (1, 10, 100):
            assert schedule(norm, steps) == one_phase(norm, steps)


def test_a_phase_starts_at_the_projection_of_the_best_point(monkeypatch):
    """Recorded as it runs: every point that is looked at, and the ball it lies in."""
    classifier = LinearClassifier((4, 4, 1), 3)
    images, labels = grey_images(classifier, 4, spread=0.2)
    seen = []
    look = auto_pgd.AutoPgd._look

    def recorded(self, classifier, state, run, *, inside):
        looked = look(self, classifier, state, run, inside=inside)
        seen.append((state.current.numpy(), state.best.numpy(), looked.loss.numpy(), bool(inside)))
        return looked

    monkeypatch.setattr(auto_pgd.AutoPgd, "_look", recorded)
    attack: Attack = create("attacks", "apgd_ce", eps=0.5, norm="l1", steps=10, early_stop=False)
    previous = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        attack(classifier, tf.constant(images), tf.constant(labels), seed=tf.constant(3))
    finally:
        tf.config.run_functions_eagerly(previous)
    assert len(seen) == 11, "the start and a point a step"
    assert [inside for *_, inside in seen] == [False] * 7 + [True] * 4
    for first, eps in ((4, 1.0), (7, 0.5)):
        current, best, _, _ = seen[first]
        expected = ball("l1").project(tf.constant(best), ball("l1").region(images, eps))
        assert np.allclose(current, expected, atol=1e-6)
        losses = np.array([loss for *_, loss, _ in seen[first - 3 : first]])
        points = np.array([point for point, *_ in seen[first - 3 : first]])
        rows = np.arange(len(images))
        assert np.allclose(best, points[losses.argmax(0), rows], atol=1e-6)
    for number, (current, *_) in enumerate(seen):
        eps = 1.5 if number < 4 else 1.0 if number < 7 else 0.5
        assert (np.abs(current - images).sum((1, 2, 3)) <= eps * (1 + 1e-6)).all()


@pytest.mark.slow
def test_larger_balls_first_leave_no_more_images_and_take_a_gradient_a_step(
    trained, test_images, monkeypatch
):
    images, labels = (array[:60] for array in test_images)
    left = {}
    # One step more, so that the second does not take the trace of the first.
    for name, phases, steps in (("one", one_phase, 51), ("three", schedule, 50)):
        monkeypatch.setattr(auto_pgd, "schedule", phases)
        attack = create("attacks", "apgd_ce", eps=0.8, norm="l1", steps=steps, early_stop=False)
        crafted = run_attack(attack, trained, images, labels)
        left[name] = int((clean_predictions(trained, crafted.images) == labels).sum())
        assert crafted.gradients == (steps + 1) * len(images)
        assert (np.abs(crafted.images - images).sum((1, 2, 3)) <= 0.8 * (1 + 1e-6)).all()
    assert left["three"] <= left["one"]
