"""The geometry of the balls."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust import random
from tfrobust.errors import UsageError
from tfrobust.norms import ball

NORMS = pytest.mark.parametrize("norm", ["linf", "l2"])
SHAPE = (7, 5, 4, 2)
EPS = {"linf": 0.2, "l2": 0.9}


def draw(seed, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32)


def size(norm, change):
    flat = np.asarray(change, np.float64).reshape(len(change), -1)
    return np.linalg.norm(flat, {"linf": np.inf, "l2": 2}[norm], axis=1)


@NORMS
def test_distance_is_the_norm_of_the_difference(norm):
    a, b = draw(0), draw(1)
    assert ball(norm).distance(tf.constant(a), tf.constant(b)).numpy() == pytest.approx(
        size(norm, a - b), rel=1e-6
    )


@NORMS
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.3, 5.0])
def test_what_is_projected_lies_in_the_ball_and_in_the_box(norm, eps):
    clean, wild = draw(0), draw(1, -3, 4)
    inside = ball(norm).project(wild, ball(norm).region(tf.constant(clean), eps)).numpy()
    assert (size(norm, inside - clean) <= eps + 1e-6).all()
    assert inside.min() >= 0
    assert inside.max() <= 1


@NORMS
def test_projecting_twice_is_projecting_once(norm):
    clean, wild = draw(0), draw(1, -3, 4)
    region = ball(norm).region(tf.constant(clean), EPS[norm])
    once = ball(norm).project(tf.constant(wild), region)
    assert ball(norm).project(once, region).numpy() == pytest.approx(once.numpy(), abs=1e-6)


@NORMS
def test_what_lies_inside_is_left_alone(norm):
    clean = draw(0, 0.4, 0.6)
    inside = clean + (0.01 * (draw(1) - 0.5)).astype(np.float32)
    region = ball(norm).region(tf.constant(clean), EPS[norm])
    assert ball(norm).project(tf.constant(inside), region).numpy() == pytest.approx(
        inside, abs=1e-7
    )


@NORMS
def test_away_from_the_walls_the_projection_is_the_nearest_point_of_the_ball(norm):
    clean, wild = np.full(SHAPE, 0.5, np.float32), draw(1, 0, 1)
    eps = EPS[norm] / 4
    region = ball(norm).region(tf.constant(clean), eps)
    nearest = ball(norm).project(tf.constant(wild), region).numpy()
    away = size("l2", wild - nearest)
    for seed in range(20):
        direction = np.random.default_rng(seed).normal(size=SHAPE)
        radius = eps / size(norm, direction)
        other = clean + direction * radius[:, None, None, None]
        assert (away <= size("l2", wild - other) + 1e-6).all()


@NORMS
def test_steepest_ascent_reaches_the_dual_norm_of_the_gradient(norm):
    gradient = draw(2, -1, 1)
    direction = ball(norm).steepest(tf.constant(gradient)).numpy()
    dual = np.linalg.norm(gradient.reshape(7, -1), {"linf": 1, "l2": 2}[norm], axis=1)
    assert size(norm, direction) == pytest.approx(np.ones(7), rel=1e-5)
    assert (gradient * direction).sum((1, 2, 3)) == pytest.approx(dual, rel=1e-5)


@NORMS
@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e35])
def test_steepest_ascent_does_not_care_how_long_the_gradient_is(norm, scale):
    gradient = draw(2, -1, 1)
    there = ball(norm).steepest(tf.constant((gradient * scale).astype(np.float32))).numpy()
    assert there == pytest.approx(ball(norm).steepest(tf.constant(gradient)).numpy(), abs=1e-5)


@NORMS
def test_steepest_ascent_of_no_gradient_is_no_step(norm):
    assert not ball(norm).steepest(tf.zeros(SHAPE)).numpy().any()


@NORMS
def test_draws_lie_in_the_ball(norm):
    seeds = random.image_seeds(0, 200)
    drawn = ball(norm).draw(seeds, (5, 4, 2), EPS[norm]).numpy()
    assert (size(norm, drawn) <= EPS[norm] * (1 + 1e-6)).all()
    assert abs(drawn.mean()) < 0.01


def test_draws_from_the_l2_ball_are_uniform_in_the_dth_power_of_the_radius():
    shape = (2, 2, 1)
    drawn = tf.function(ball("l2").draw)(random.image_seeds(1, 4000), shape, 3.0).numpy()
    power = np.sort((size("l2", drawn) / 3.0) ** 4)
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs(power - uniform).max() < 1.95 / np.sqrt(4000)  # Kolmogorov's bound at 0.1 %


def test_draws_from_the_linf_ball_are_uniform_in_every_pixel():
    drawn = tf.function(ball("linf").draw)(random.image_seeds(1, 1000), (2, 2, 1), 0.5).numpy()
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs(np.sort(drawn.ravel() + 0.5) - uniform).max() < 1.95 / np.sqrt(4000)


def test_an_unknown_norm_is_refused():
    with pytest.raises(UsageError, match=r"norm: expected one of linf, l2, l1; received: 'l7'"):
        ball("l7")
