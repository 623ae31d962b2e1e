"""The pixel noises do what the paper's equations say, one generation after another."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.plain_pixel_noise import NOISES, pictures, plain_noise
from helpers.support import shared_folder
from tfrobust.data.names import open_scenario
from tfrobust.data.reading import arrays
from tfrobust.engine.run import run_attack
from tfrobust.engine.staged import grown_together, run_stages
from tfrobust.errors import UsageError
from tfrobust.evaluation import attack_runs
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.random import content_seeds
from tfrobust.registry import create
from tfrobust.testing import small_classifier
from tfrobust_attacks.noise.pixel_noise import draws

COUNTS = (0, 1, 7, 30)


@pytest.mark.parametrize("name", NOISES)
@pytest.mark.parametrize(
    ("shape", "side", "constant"),
    [
        pytest.param((7, 5, 1), 1, None, marks=pytest.mark.slow),
        ((7, 5, 1), 1, 1.1),
        pytest.param((6, 8, 1), 2, 3.0, marks=pytest.mark.slow),
        pytest.param((5, 6, 3), 1, None, marks=pytest.mark.slow),
        ((6, 6, 3), 3, 0.7),
        ((1, 1, 1), 1, None),
    ],
)
def test_each_generation_agrees_with_the_plain_reference(name, shape, side, constant):
    options = {"pixel_size": side} | ({"c": constant} if constant else {})
    attack = create("attacks", name, **options)
    images = pictures(shape)
    seeds = content_seeds(3, images)
    drawn = draws(tf.constant(seeds), max(COUNTS)).numpy()
    stages = attack.stages(tf.constant(images), COUNTS, seed=tf.constant(seeds)).numpy()
    for count, stage in zip(COUNTS, stages, strict=True):
        for image, line, noisy in zip(images, drawn, stage, strict=True):
            expected = plain_noise(name, image, line[:count], constant=attack.c, side=side)
            np.testing.assert_array_equal(noisy, expected)


@pytest.mark.parametrize("count", [25, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NOISES)
def test_real_digits_agree_with_the_plain_reference(name, count, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(shared_folder("data") / "tfds"))
    images, _ = arrays(open_scenario("mnist"), "test", 2)
    seeds = tf.constant(content_seeds(0, images))
    drawn = draws(seeds, count).numpy()
    attack = create("attacks", name)
    stages = tf.function(attack.stages)
    (noisy,) = stages(tf.constant(images), (count,), seed=seeds).numpy()
    for image, line, actual in zip(images, drawn, noisy, strict=True):
        np.testing.assert_array_equal(actual, plain_noise(name, image, line, constant=attack.c))


@pytest.mark.parametrize(
    ("name", "level"), [("white_to_black", 0.0), ("black_to_white", 1.0), ("edge_to_altered", 0.7)]
)
def test_an_image_without_an_eligible_pixel_is_left_as_it_is(name, level):
    images = tf.fill((2, 4, 4, 1), level)
    attack = create("attacks", name, count=20)
    np.testing.assert_array_equal(attack.stages(images, (20,), seed=0)[0], images)


@pytest.mark.parametrize("name", NOISES)
def test_no_generation_returns_the_image_itself(name):
    images = tf.random.stateless_uniform((2, 4, 4, 3), (0, 1))  # not in steps of 1/255
    attack = create("attacks", name, count=0)
    np.testing.assert_array_equal(attack(None, images, None, seed=0), images)


def test_white_turns_black_and_black_white_for_good():
    images = tf.constant([[[[1.0], [0.0]]]])
    blackened = create("attacks", "white_to_black").stages(images, (1, 5), seed=0)
    whitened = create("attacks", "black_to_white").stages(images, (1, 5), seed=0)
    assert blackened.numpy().max() == 0
    assert whitened.numpy().min() == 1


@pytest.mark.parametrize(
    "name", ["edge_to_altered", *(pytest.param(n, marks=pytest.mark.slow) for n in NOISES[:-1])]
)
def test_a_long_run_begins_like_a_short_one(name):
    images, seeds = tf.constant(pictures((6, 6, 1))), tf.constant([[0, 1], [0, 2], [0, 3]])
    stages = tf.function(create("attacks", name).stages)  # 300 generations are slow in Python
    short, long = (stages(images, counts, seed=seeds)[0] for counts in ((5,), (5, 300)))
    np.testing.assert_array_equal(short, long)


def test_one_pass_makes_the_stages_that_single_runs_make():
    classifier = small_classifier((8, 8, 1), 4)
    images, labels = pictures((8, 8, 1), 9), np.arange(9) % 4
    attacks = [create("attacks", "edge_to_altered", count=count) for count in (12, 3)]
    (together,) = grown_together(attacks)
    stages = run_stages(together, classifier, images, labels, seed=5)
    for attack, stage in zip(together, stages, strict=True):
        alone = run_attack(attack, classifier, images, labels, seed=5, batch_size=4)
        np.testing.assert_array_equal(stage.images, alone.images)
        assert (alone.gradients, alone.queries) == (0, 0)


def test_an_evaluation_at_several_counts_makes_one_pass(monkeypatch):

    passes = []
    monkeypatch.setattr(
        attack_runs,
        "run_stages",
        lambda *args, **more: passes.append(1) or run_stages(*args, **more),
    )
    digits = open_scenario("digits")
    networks = {name: small_classifier(digits.image_shape, 10) for name in ("one", "two")}
    attacks = [create("attacks", "white_to_black", count=count) for count in (8, 0, 4)]
    evaluations = evaluate(networks, digits, attacks, limit=20, baselines=()).results.evaluations
    assert len(passes) == 1
    for evaluation in evaluations:
        counts = [attack.params["count"] for attack in evaluation.attacks]
        changed = [attack.distance["l0"].mean or 0 for attack in evaluation.attacks]
        assert counts == [8, 0, 4]
        assert evaluation.attacks[1].accuracy == evaluation.clean.accuracy
        assert changed[1] == 0
    assert evaluations[0].attacks[0].violations == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, r"white_to_black: count: .*greater than or equal to 0; received: -1"),
        ({"c": 0}, r"white_to_black: c: .*greater than 0; received: 0"),
        ({"c": -2}, r"white_to_black: c: .*greater than 0; received: -2"),
        ({"pixel_size": 0}, r"white_to_black: pixel_size: .*greater than or equal to 1"),
    ],
)
def test_impossible_options_cost_one_line(options, message):
    with pytest.raises(UsageError, match=message):
        create("attacks", "white_to_black", **options)


def test_a_pixel_size_that_does_not_divide_the_image_costs_one_line():
    attack = create("attacks", "black_to_white", pixel_size=3)
    classifier = small_classifier((8, 8, 1), 4)
    images, labels = pictures((8, 8, 1), 2), np.zeros(2, np.int64)
    with pytest.raises(UsageError, match=r"pixel_size: expected a divisor of 8 and of 8; .*: 3"):
        run_attack(attack, classifier, images, labels)
    with pytest.raises(UsageError, match="divisor"):
        run_stages([attack], classifier, images, labels)


def test_draws_are_uniform_and_no_two_rows_or_blocks_alike():
    drawn = draws(tf.constant([[0, k] for k in range(50)]), 600).numpy()
    assert abs(drawn.mean() - 0.5) < 0.01
    assert abs(drawn.var() - 1 / 12) < 0.002
    assert len(np.unique(drawn)) > 0.99 * drawn.size
    assert (
        len(np.unique(drawn[:, :256])) + len(np.unique(drawn[:, 256:])) - len(np.unique(drawn))
        < 0.01 * drawn.size
    )  # a second block that repeats the first would have these in common


def test_a_divisor_next_to_nothing_gives_the_extremes():
    images = tf.constant(np.full((1, 2, 2, 1), 0.5, np.float32))
    noise = create("attacks", "white_to_black", count=1, c=1e-320)
    assert set(np.unique(noise(None, images, None, seed=0))) <= {np.float32(0.5), 1.0}
