"""Attacks that see scores or decisions only, and attacks that do not ask the classifier."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from helpers.audited_runs import audited
from helpers.pairs import each_once
from tfrobust.classifier import Classifier
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, small_classifier
from tfrobust_attacks.score.spsa import slopes_along
from tfrobust_attacks.score.square_pyramids import pyramids
from tfrobust_attacks.score.square_windows import L2Moves, LinfMoves

SHAPES = [(6, 5, 2), (8, 8, 1), (4, 4, 3)]
ONE_SHAPE = [SHAPES[0], *(pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES[1:])]
DUAL = {"linf": 1, "l2": 2}


def judged(attack, classifier, images, labels, **options):
    """Run and audit an attack; nothing it returns may be a violation."""
    crafted, verdict, _ = audited(attack, classifier, images, labels, **options)
    assert not verdict.violation.any()
    return crafted, verdict


def margins(classifier, images, labels):
    """Return z_y − z_k of the other of two classes."""
    logits = classifier(images).numpy()
    rows = np.arange(len(labels))
    return logits[rows, labels] - logits[rows, 1 - labels]


def share_of_inner_maximum(name, shape, *, norm="linf", **options):
    """Return the fall of the margin as a share of the largest fall; no image is broken."""
    classifier = LinearClassifier(shape, 2)
    images, labels = grey_images(classifier, 8, spread=0.3)
    eps = 0.9 * float(classifier.least_perturbation(images, labels, norm).min())
    options |= {"norm": norm} if norm != "linf" else {}
    attack = create("attacks", name, eps=eps, **options)
    crafted, verdict = judged(attack, classifier, images, labels, batch_size=3)
    weights = classifier.weights.numpy()
    reachable = eps * np.linalg.norm(weights[:, 0] - weights[:, 1], DUAL[norm])
    fallen = margins(classifier, images, labels) - margins(classifier, crafted.images, labels)
    return fallen / reachable, verdict.distance[norm] / eps


class Recognises(Classifier):
    """Class 1 is one picture, or another of the same values; all else is class 0."""

    def __init__(self, *pictures):
        super().__init__(image_shape=pictures[0].shape, num_classes=2)
        self.pictures = tf.constant(np.stack(pictures), tf.float32)

    def __call__(self, images):
        apart = tf.reduce_sum(tf.abs(images[:, None] - self.pictures), (2, 3, 4))
        near = 0.1 - tf.reduce_min(apart, 1)
        return tf.stack([-near, near], 1)


# Query budgets


@pytest.mark.parametrize("queries", [1, 2, 3, 40])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("square", {"eps": 0.0}),
        ("square", {"eps": 0.0, "norm": "l2"}),
        ("spsa", {"eps": 0.0, "samples_per_step": 8}),
        ("zoo", {"coordinates": 4}),
    ],
)
def test_an_image_that_is_not_broken_never_costs_more_queries_than_allowed(name, options, queries):
    classifier = LinearClassifier((7, 5, 2), 3)
    images, labels = grey_images(classifier, 5)
    attack = create("attacks", name, queries=queries, **options)
    crafted, _ = judged(attack, classifier, images, labels, batch_size=2)
    step = {"square": 1, "spsa": 9, "zoo": 9}[name]
    assert crafted.queries == len(images) * (1 + (queries - 1) // step * step)
    assert crafted.queries <= queries * len(images)
    assert crafted.gradients == 0


@pytest.mark.parametrize("name", ["square", "spsa", "zoo", "spatial"])
def test_images_that_are_misclassified_before_come_back_for_a_query_or_two(name):
    classifier = small_classifier()
    images, labels = grey_images(classifier)
    wrong = (labels + 1) % classifier.num_classes
    crafted, _ = judged(create("attacks", name), classifier, images, wrong)
    assert np.array_equal(crafted.images, images)
    assert crafted.queries <= 2 * len(images)


@pytest.mark.parametrize("name", ["gaussian_noise", "uniform_noise", "contrast", "gaussian_blur"])
def test_the_baselines_never_ask_the_classifier(name, linear):
    crafted, _ = judged(create("attacks", name), *linear)
    assert crafted.queries == crafted.gradients == 0
    assert not np.array_equal(crafted.images, linear[1])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("square", {"queries": 0}, "square: queries: .*received: 0"),
        ("square", {"p_init": 1.5}, "square: p_init: .*received: 1.5"),
        ("square", {"norm": "l1"}, "square: norm: .*received: 'l1'"),
        ("spsa", {"samples_per_step": 7}, "spsa: samples_per_step: .*received: 7"),
        ("spsa", {"steps": 0}, "spsa: steps: .*received: 0"),
        ("zoo", {"queries": 0}, "zoo: queries: .*received: 0"),
        ("spatial", {"max_translation": 2}, "spatial: max_translation: .*received: 2"),
        ("contrast", {"factor": 2}, "contrast: factor: .*received: 2"),
    ],
)
def test_options_out_of_range_are_refused(name, options, text):
    with pytest.raises(UsageError, match=text):
        create("attacks", name, **options)


# Square


@pytest.mark.parametrize("shape", ONE_SHAPE)
def test_square_reaches_the_inner_maximum_in_linf(shape):
    share, _ = share_of_inner_maximum("square", shape, queries=2000)
    assert share == pytest.approx(np.ones(8), rel=1e-3)


@pytest.mark.parametrize("shape", ONE_SHAPE)
def test_square_in_l2_spends_the_whole_ball_and_gets_half_of_what_it_holds(shape):
    share, length = share_of_inner_maximum("square", shape, queries=500, norm="l2")
    assert (share > 0.5).all()
    assert length == pytest.approx(np.ones(8), rel=1e-4)


def test_square_starts_from_vertical_stripes_of_the_whole_budget():
    classifier = LinearClassifier((6, 5, 2), 2)
    images, labels = grey_images(classifier, 8, spread=0.3)
    attack = create("attacks", "square", eps=0.002, queries=2, early_stop=False)
    change = judged(attack, classifier, images, labels)[0].images - images
    assert np.abs(change) == pytest.approx(np.full_like(change, 0.002), rel=1e-3)
    assert np.array_equal(np.sign(change), np.sign(np.broadcast_to(change[:, :1], change.shape)))


def test_square_windows_shrink_as_in_the_paper_and_stay_inside_the_image():
    moves = LinfMoves((28, 20, 3), 10_000, 0.8)
    bounds = moves.windows(tf.constant(7)).bounds.numpy()[..., 1:]
    side = bounds[:, :, 1] - bounds[:, :, 0]
    halvings = [0, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001]
    expected = [np.sqrt(0.8 / 2**k * 28 * 20) for k in range(10)]
    assert side[halvings, 0, 0].tolist() == np.clip(np.round(expected), 1, 20).tolist()
    assert (side == side[:, :1, :1]).all()
    assert bounds.min() == 0
    assert bounds[:, :, 1].max(axis=(0, 1)).tolist() == [28, 20]
    assert set(L2Moves((28, 20, 3), 10_000, 0.8).sides) == {3, 5, 7, 11, 15, 19}


@pytest.mark.parametrize("side", [1, 2, 3, 7, 16])
def test_a_pyramid_has_length_one_and_two_halves_of_opposite_sign(side):
    lying, upright = pyramids(np.array([side]))[0]
    assert np.linalg.norm(lying) == pytest.approx(1.0)
    assert np.array_equal(upright, lying.T)
    assert (lying[: side // 2] > 0).all()
    assert (lying[side // 2 :] < 0).all()


def test_square_breaks_no_fewer_images_with_more_queries(reference):
    images, labels = reference.images[:60], reference.labels[:60]
    left = []
    for queries in (20, 100, 400):
        attack = create("attacks", "square", eps=0.2, queries=queries)
        left.append((~judged(attack, reference.classifier, images, labels)[1].success).sum())
    assert left[0] > left[1] > left[2]


@pytest.mark.parametrize(
    ("norm", "loss"),
    [pytest.param("linf", "margin", marks=pytest.mark.slow), ("l2", "margin"), ("linf", "ce")],
)
def test_square_without_early_stopping_breaks_the_same_images(reference, norm, loss):
    images, labels = reference.images[:60], reference.labels[:60]
    options = {"norm": norm, "eps": {"linf": 0.2, "l2": 2.0}[norm], "queries": 150, "loss": loss}
    stopped, went_on = (
        judged(create("attacks", "square", **options, early_stop=early), *case)[1].success
        for early, case in ((b, (reference.classifier, images, labels)) for b in (True, False))
    )
    assert np.array_equal(stopped, went_on)
    assert 0 < stopped.sum() < 60


@pytest.mark.parametrize("seeds", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_square_is_as_strong_as_art_over_its_seeds(reference, seeds):
    """A seed changes the verdict of about one image in a hundred; ART's figure has one seed too."""
    attack = create("attacks", "square", eps=0.2, queries=1000)
    images, labels = reference.images[:100], reference.labels[:100]
    left = [
        (~judged(attack, reference.classifier, images, labels, seed=seed)[1].success).mean()
        for seed in range(seeds)
    ]
    assert np.median(left) <= reference.peers["square_linf_0.2_1000"]["robust_accuracy"] + 1e-6


@pytest.mark.slow
def test_square_is_as_strong_as_the_original_in_autoattack(reference):
    attack = create("attacks", "square", eps=0.2, queries=5000)
    peer = reference.peers["autoattack_standard_Linf_0.2"]["alone"]["square"]["robust_accuracy"]
    left = []
    for seed in range(5):
        case = reference.classifier, reference.images, reference.labels
        left.append((~judged(attack, *case, seed=seed, batch_size=200)[1].success).mean())
    assert np.median(left) <= peer + 1e-6
    assert max(left) <= peer + 0.005 + 1e-6


# SPSA


@pytest.mark.parametrize("shape", ONE_SHAPE)
def test_spsa_comes_within_three_percent_of_the_inner_maximum(shape):
    share, _ = share_of_inner_maximum("spsa", shape, learning_rate=2e-4)
    assert (share > 0.97).all()
    assert (share < 1.001).all()


def test_spsa_estimates_the_gradient_of_a_linear_classifier_exactly_along_each_direction():
    classifier = LinearClassifier((4, 4, 3), 2)
    images, _ = grey_images(classifier, 5)
    directions = np.random.default_rng(1).choice([-1.0, 1.0], (7, 4, 4, 3)).astype(np.float32)
    slopes = slopes_along(
        classifier,
        tf.constant(images),
        lambda first, last: tf.constant(directions)[first:last],
        count=7,
        score=lambda logits, copies: logits[:, 0] - logits[:, 1],
        reach=0.05,
    )
    weights = classifier.weights.numpy()
    exact = directions.reshape(7, -1) @ (weights[:, 0] - weights[:, 1])
    assert slopes.numpy() == pytest.approx(np.tile(exact[:, None], (1, 5)), abs=1e-4)


@pytest.mark.slow
def test_spsa_is_as_strong_as_cleverhans(reference):
    case = reference.classifier, reference.images[:100], reference.labels[:100]
    common = {"eps": 0.2, "learning_rate": 0.01, "delta": 0.01}
    ours = create("attacks", "spsa", steps=40, samples_per_step=64, **common)
    theirs = create(
        "attacks",
        "cleverhans_spsa",
        nb_iter=40,
        spsa_samples=64,
        early_stop_loss_threshold=0.0,
        **common,
    )
    ours, theirs = (
        np.mean([(~judged(attack, *case, seed=seed)[1].success).mean() for seed in range(3)])
        for attack in (ours, theirs)
    )
    assert ours <= theirs + 0.01


# ZOO


@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("case", "shape"), each_once([(2, 1), (3, 8), (10, 3)], SHAPES))
def test_zoo_comes_within_a_twentieth_of_the_least_perturbation(case, shape, count):
    classes, batch_size = case
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels = grey_images(classifier, max(count, batch_size), spread=0.3)
    attack = create("attacks", "zoo", steps=200, learning_rate=3e-3)
    _, verdict = judged(attack, classifier, images, labels, batch_size=batch_size)
    ratio = verdict.distance["l2"] / classifier.least_perturbation(images, labels, "l2")
    assert verdict.success.all()
    assert np.median(ratio) <= 1.05
    assert (ratio >= 1 - 1e-4).all()


def test_zoo_comes_as_near_with_some_coordinates_at_a_time():
    classifier = LinearClassifier((6, 5, 2), 3)
    images, labels = grey_images(classifier, 8, spread=0.3)
    attack = create(
        "attacks", "zoo", steps=600, coordinates=15, learning_rate=3e-3, binary_search_steps=6
    )
    _, verdict = judged(attack, classifier, images, labels)
    assert verdict.success.all()
    ratio = verdict.distance["l2"] / classifier.least_perturbation(images, labels, "l2")
    assert np.median(ratio) <= 1.05


def test_zoo_returns_the_image_where_its_queries_are_too_few(linear):
    attack = create("attacks", "zoo", queries=1000, learning_rate=1e-6)
    crafted, _ = judged(attack, *linear)
    assert np.array_equal(crafted.images, linear[1])


# Spatial


def picture(seed=0, size=7):
    return np.random.default_rng(seed).uniform(size=(size, size, 1)).astype(np.float32)


@pytest.mark.parametrize("turns", [1, -1])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_the_attack_finds_a_quarter_turn_exactly(turns, interpolation):
    image = picture()
    turned = np.rot90(image, turns)
    attack = create(
        "attacks",
        "spatial",
        max_rotation=90,
        rotations=3,
        translations=1,
        interpolation=interpolation,
    )
    crafted, verdict = judged(attack, Recognises(turned), image[None], np.zeros(1, np.int64))
    assert verdict.success.all()
    assert crafted.images[0] == pytest.approx(turned, abs=1e-4)


def test_an_image_is_shifted_by_whole_pixels_and_black_moves_in():
    image = picture()
    shifted = np.zeros_like(image)
    shifted[2:, :-2] = image[:-2, 2:]
    attack = create("attacks", "spatial", max_translation=2 / 7, rotations=1, translations=3)
    crafted, _ = judged(attack, Recognises(shifted), image[None], np.zeros(1, np.int64))
    assert crafted.images[0] == pytest.approx(shifted, abs=1e-5)


@pytest.mark.parametrize("queries", [10, 28, 100])
def test_a_thinned_grid_still_has_shifts_without_a_rotation(queries):
    image = picture()
    shifted = np.zeros_like(image)
    shifted[2:, :-2] = image[:-2, 2:]
    attack = create("attacks", "spatial", max_translation=2 / 7, queries=queries)
    crafted, _ = judged(attack, Recognises(shifted), image[None], np.zeros(1, np.int64))
    assert crafted.images[0] == pytest.approx(shifted, abs=1e-5)
    assert crafted.queries <= queries


def test_the_smaller_of_two_fooling_transformations_is_returned():
    image = picture()
    once, twice = (np.concatenate([np.zeros((k, 7, 1)), image[:-k]]) for k in (1, 2))
    attack = create("attacks", "spatial", max_translation=2 / 7, rotations=1, translations=5)
    crafted, _ = judged(attack, Recognises(twice, once), image[None], np.zeros(1, np.int64))
    assert crafted.images[0] == pytest.approx(once, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "tries"),
    [
        ({"rotations": 5, "translations": 3}, 45),
        ({"rotations": 2, "translations": 2}, 9),
        ({"search": "random", "worst_of": 6}, 7),
    ],
)
def test_an_image_that_does_not_break_costs_every_try_and_comes_back_unchanged(options, tries):
    image = picture()
    attack = create("attacks", "spatial", **options)
    nothing = Recognises(np.full_like(image, 9.0))
    crafted, _ = judged(attack, nothing, image[None], np.zeros(1, np.int64))
    assert crafted.queries == tries
    assert np.array_equal(crafted.images[0], image)


# Baselines


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_gaussian_noise_is_as_long_as_the_budget(norm, linear):
    _, verdict = judged(create("attacks", "gaussian_noise", eps=0.2, norm=norm), *linear)
    assert verdict.distance[norm] == pytest.approx(np.full(len(linear[1]), 0.2), rel=1e-3)


def test_uniform_noise_fills_the_ball_evenly(linear):
    change = judged(create("attacks", "uniform_noise", eps=0.2), *linear)[0].images - linear[1]
    assert np.abs(change).max() > 0.19
    assert np.abs(change).mean() == pytest.approx(0.1, abs=0.01)
    assert change.mean() == pytest.approx(0.0, abs=0.02)


def test_contrast_goes_its_share_of_the_way_to_mid_grey(linear):
    crafted, _ = judged(create("attacks", "contrast", factor=0.25), *linear)
    assert crafted.images - 0.5 == pytest.approx(0.75 * (linear[1] - 0.5), abs=1e-6)


@pytest.mark.parametrize("sigma", [0.0, 0.4, 1.5, 9.0])
def test_blur_is_scipys_gaussian_filter(sigma):
    classifier = LinearClassifier((9, 6, 3))
    images = np.random.default_rng(0).uniform(size=(3, 9, 6, 3)).astype(np.float32)
    attack = create("attacks", "gaussian_blur", sigma=sigma)
    crafted, _ = judged(attack, classifier, images, np.zeros(3, np.int64))
    expected = gaussian_filter(images, (0, sigma, sigma, 0), mode="reflect", truncate=4.0)
    assert crafted.images == pytest.approx(expected, abs=2e-3 if sigma < 1 else 1e-3)
