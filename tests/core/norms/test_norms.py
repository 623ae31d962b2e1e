"""The geometry of the balls."""

import numpy as np
import pytest
import tensorflow as tf

from tfrobust import random
from tfrobust.errors import UsageError
from tfrobust.norms import L0, ball

NORMS = pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
SHAPE = (7, 5, 4, 2)
EPS = {"linf": 0.2, "l2": 0.9, "l1": 4.0}


def draw(seed, low=0.0, high=1.0):
    return np.random.default_rng(seed).uniform(low, high, SHAPE).astype(np.float32)


def size(norm, change):
    flat = np.asarray(change, np.float64).reshape(len(change), -1)
    return np.linalg.norm(flat, {"linf": np.inf, "l2": 2, "l1": 1}[norm], axis=1)


@NORMS
def test_distance_is_the_norm_of_the_difference(norm):
    a, b = draw(0), draw(1)
    assert ball(norm).distance(tf.constant(a), tf.constant(b)).numpy() == pytest.approx(
        size(norm, a - b), rel=1e-6
    )


@NORMS
@pytest.mark.parametrize("eps", [0.0, 0.01, 0.3, 5.0])
def test_projected_images_lie_in_the_ball_and_in_the_box(norm, eps):
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
def test_images_inside_the_ball_are_left_alone(norm):
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
    dual = np.linalg.norm(gradient.reshape(7, -1), {"linf": 1, "l2": 2, "l1": np.inf}[norm], axis=1)
    assert size(norm, direction) == pytest.approx(np.ones(7), rel=1e-5)
    assert (gradient * direction).sum((1, 2, 3)) == pytest.approx(dual, rel=1e-5)


@NORMS
@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e35])
def test_steepest_ascent_does_not_depend_on_the_length_of_the_gradient(norm, scale):
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


@NORMS
def test_the_steepest_direction_gains_the_dual_norm(norm):
    gradient = tf.constant(draw(2, -1, 1))
    gained = tf.reduce_sum(gradient * ball(norm).steepest(gradient), (1, 2, 3))
    assert ball(norm).dual(gradient).numpy() == pytest.approx(gained.numpy(), rel=1e-5)


@NORMS
def test_each_image_may_have_its_own_radius(norm):
    clean, wild = tf.constant(draw(0)), tf.constant(draw(1, -3, 4))
    radii = np.linspace(0.0, EPS[norm], len(clean)).astype(np.float32)
    inside = ball(norm).project(wild, ball(norm).region(clean, tf.constant(radii))).numpy()
    assert (size(norm, inside - clean.numpy()) <= radii + 1e-6).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_point_of_the_l1_ball_in_the_box_is_found(seed):
    """Against SciPy's general solver on one small image."""
    from scipy.optimize import minimize

    generator = np.random.default_rng(seed)
    clean, wild = generator.uniform(size=6), generator.uniform(-1, 2, size=6)
    images = tf.constant(clean.reshape(1, 3, 2, 1), tf.float32)
    region = ball("l1").region(images, 0.8)
    ours = ball("l1").project(tf.constant(wild.reshape(1, 3, 2, 1), tf.float32), region)
    up_down = minimize(
        lambda parts: np.sum((clean + parts[:6] - parts[6:] - wild) ** 2),
        np.zeros(12),
        bounds=[(0, 1 - c) for c in clean] + [(0, c) for c in clean],
        constraints={"type": "ineq", "fun": lambda parts: 0.8 - parts.sum()},
        options={"ftol": 1e-12, "maxiter": 500},
    ).x
    best = clean + up_down[:6] - up_down[6:]
    assert ours.numpy().ravel() == pytest.approx(best, abs=2e-3)


@NORMS
def test_climbing_stays_inside_and_never_descends(norm):
    clean, gradient = tf.constant(draw(0)), tf.constant(draw(2, -1, 1))
    region = ball(norm).region(clean, EPS[norm])
    here = ball(norm).project(tf.constant(draw(1)), region)
    there = ball(norm).step(here, gradient, 0.3 * EPS[norm], region)
    assert (size(norm, there.numpy() - clean.numpy()) <= EPS[norm] + 2e-6).all()
    assert (tf.reduce_sum(gradient * (there - here), (1, 2, 3)).numpy() >= -1e-5).all()


@NORMS
def test_climbing_without_gradient_moves_nothing(norm):
    clean = tf.constant(draw(0))
    region = ball(norm).region(clean, EPS[norm])
    here = ball(norm).project(tf.constant(draw(1)), region)
    there = ball(norm).step(here, tf.zeros_like(here), 0.1, region)
    assert there.numpy() == pytest.approx(here.numpy(), abs=1e-6)


@NORMS
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_hyperplane_is_crossed_at_the_least_distance(norm, sign):
    """Far from the walls the distance is gap / dual norm; near them it is no less."""
    normal = tf.constant(draw(2, -1, 1))
    inner, outer = tf.constant(draw(0, 0.45, 0.55)), tf.constant(draw(0))
    near, gap = 0.3, sign * tf.fill([7], 0.3)
    if norm == "l1":
        near, gap = 0.05, sign * tf.fill([7], 0.05)
    least = near / ball(norm).dual(normal).numpy()
    for images, exact in ((inner, True), (outer, False)):
        there = ball(norm).cross(images, normal, gap)
        risen = tf.reduce_sum(normal * (there - images), (1, 2, 3)).numpy()
        assert risen == pytest.approx(sign * near, rel=1e-4)
        reach = size(norm, there.numpy() - images.numpy())
        assert reach == pytest.approx(least, rel=1e-4) if exact else (reach >= 0.999 * least).all()


@NORMS
def test_a_hyperplane_beyond_the_box_is_approached_as_far_as_the_corner(norm):
    images, normal = tf.constant(draw(0)), tf.constant(draw(2, -1, 1))
    there = ball(norm).cross(images, normal, tf.fill([7], 1e4)).numpy()
    assert there == pytest.approx((normal.numpy() > 0).astype(np.float32), abs=1e-5)


def test_draws_from_the_l1_ball_are_uniform_in_the_dth_power_of_the_radius():
    shape = (2, 2, 1)
    drawn = tf.function(ball("l1").draw)(random.image_seeds(1, 4000), shape, 3.0).numpy()
    power = np.sort((size("l1", drawn) / 3.0) ** 4)
    uniform = (np.arange(4000) + 0.5) / 4000
    assert np.abs(power - uniform).max() < 1.95 / np.sqrt(4000)


def test_the_l0_ball_keeps_the_pixels_that_changed_most():
    clean = tf.constant(draw(0, 0.4, 0.6))
    change = np.zeros(SHAPE, np.float32)
    change[:, 0, 0, 0], change[:, 1, 1, 1], change[:, 2, 2, :] = 0.1, -0.3, 0.2
    region = L0().region(clean, 2.0)
    kept = L0().project(clean + change, region)
    assert L0().distance(kept, clean).numpy() == pytest.approx(2.0)
    assert np.abs(kept.numpy() - clean.numpy())[:, 0, 0, 0].max() == 0
    assert (
        L0().distance(L0().project(clean + change, L0().region(clean, 0.0)), clean).numpy().max()
        == 0
    )


def filled_by_sorting(gradient, images, eps):
    """The corner of the L1 region: a whole sort, one pixel after the other; equal slopes share."""
    corner = images.astype(np.float64).reshape(len(images), -1)
    for row, slopes in zip(corner, gradient.reshape(corner.shape), strict=True):
        left = eps
        for slope in sorted(set(np.abs(slopes[slopes != 0])), reverse=True):
            tied = np.flatnonzero(np.abs(slopes) == slope)
            room = np.where(slopes[tied] > 0, 1 - row[tied], row[tied])
            share = min(1.0, left / room.sum()) if room.sum() else 0.0
            row[tied] += np.sign(slopes[tied]) * share * room
            left -= share * room.sum()
    return corner.reshape(images.shape)


@pytest.mark.parametrize("levels", [None, 3], ids=["distinct", "tied"])
@pytest.mark.parametrize("eps", [0.3, 4.0, 40.0])
def test_the_l1_corner_is_that_of_a_whole_sort(eps, levels):
    rng = np.random.default_rng(7)
    images = rng.choice([0.0, 0.25, 0.9, 1.0], (4, 8, 8, 1)).astype(np.float32)
    gradient = rng.normal(size=images.shape).astype(np.float32)
    if levels:
        gradient = np.round(levels * gradient) / levels
    gradient[3] = 0.0
    region = ball("l1").region(tf.constant(images), eps)
    step = tf.function(ball("l1").step)
    moved = step(tf.constant(images), tf.constant(gradient, tf.float32), 1e3, region).numpy()
    assert np.abs(moved - filled_by_sorting(gradient, images, eps)).max() < 2e-4
