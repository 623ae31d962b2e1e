"""nes, bandits, sign_hunter, simba and sparse_rs on linear classifiers, whose optima are known."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.audited_runs import audited
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.random import content_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.score.sparse_moves import PixelMoves
from tfrobust_attacks.score.sparse_shapes import FrameMoves, PatchMoves
from tfrobust_attacks.score.square_windows import MOVES, shares

DUAL = {"linf": 1, "l2": 2}
SHAPE = (6, 5, 2)


def fallen(classifier, attack, images, labels):
    """Return by how much an attack lowers the margin of two classes; none may be broken."""
    crafted, verdict, _ = audited(attack, classifier, images, labels, batch_size=3)
    assert not verdict.violation.any()
    assert not verdict.success.any()
    weights = classifier.weights.numpy()
    normal = (weights[:, 1] - weights[:, 0]) * np.where(labels == 0, 1, -1)[:, None]
    return ((crafted.images - images).reshape(len(images), -1) * normal).sum(axis=1)


def share_of_inner_maximum(name, norm, **options):
    """Return the fall of the margin as a share of the largest fall within the ball."""
    classifier = LinearClassifier(SHAPE, 2)
    images, labels = grey_images(classifier, 6, spread=0.3)
    eps = 0.9 * float(classifier.least_perturbation(images, labels, norm).min())
    attack = create("attacks", name, eps=eps, norm=norm, **options)
    weights = classifier.weights.numpy()
    reachable = eps * np.linalg.norm(weights[:, 0] - weights[:, 1], DUAL[norm])
    return fallen(classifier, attack, images, labels) / reachable


def test_sign_hunter_finds_every_sign_within_two_questions_a_value():
    share = share_of_inner_maximum("sign_hunter", "linf", queries=2 * 60 + 10)
    assert share == pytest.approx(np.ones(6), rel=1e-3)


def test_sign_hunter_in_l2_reaches_the_best_of_all_corners():
    share = share_of_inner_maximum("sign_hunter", "l2", queries=2 * 60 + 10)
    classifier = LinearClassifier(SHAPE, 2)
    normal = (classifier.weights[:, 0] - classifier.weights[:, 1]).numpy()
    corner = np.abs(normal).sum() / np.linalg.norm(normal) / np.sqrt(60)
    assert share == pytest.approx(np.full(6, corner), rel=1e-3)


@pytest.mark.parametrize(
    ("name", "norm", "least", "options"),
    [
        ("nes", "l2", 0.95, {"queries": 2000}),
        ("bandits", "l2", 0.99, {"queries": 1500, "tiles": 6}),
        pytest.param("nes", "linf", 0.9, {"queries": 3000}, marks=pytest.mark.slow),
        pytest.param("bandits", "linf", 0.8, {"queries": 3000, "tiles": 6}, marks=pytest.mark.slow),
    ],
)
def test_estimated_gradients_lead_to_the_inner_maximum(name, norm, least, options):
    share = share_of_inner_maximum(name, norm, **options)
    assert (share >= least).all()
    assert (share <= 1.001).all()


def plain_simba(classifier, image, label, order, step, queries):
    """Return what the paper's loop makes, pixel by pixel."""

    def odds(x):
        logits = classifier(x[None]).numpy()[0]
        return logits[1 - label] - logits[label]

    image, best, asked = image.copy(), odds(image), 1
    for number in order:
        for sign in (1, -1):
            if asked == queries:
                return image
            tried = image.copy()
            tried.reshape(-1)[number] = np.clip(tried.reshape(-1)[number] + sign * step, 0, 1)
            asked += 1
            if (now := odds(tried)) > best:
                image, best = tried, now
                if best > 1e-5:
                    return image
                break
    return image


def test_simba_is_the_loop_of_the_paper_pixel_by_pixel():
    classifier = LinearClassifier(SHAPE, 2)
    images, labels = grey_images(classifier, 4, spread=0.3)
    attack = create("attacks", "simba", step_size=0.02, queries=110)
    crafted = run_attack(attack, classifier, images, labels).images
    seed = tf.stack([content_seeds(0, images)[0, 0], 0])
    order = tf.argsort(tf.random.stateless_uniform((60,), seed)).numpy()
    for image, label, ours in zip(images, labels, crafted, strict=True):
        plain = plain_simba(classifier, image, label, order, 0.02, 110)
        broken = np.argmax(classifier(plain[None]).numpy()[0]) != label
        assert ours == pytest.approx(plain if broken else image, abs=1e-6)


def test_simba_moves_along_waves_of_low_frequency_only():
    classifier = LinearClassifier((8, 8, 1), 2)
    images, labels = grey_images(classifier, 4)
    attack = create("attacks", "simba", basis="dct", frequencies=0.25, step_size=0.05)
    change = run_attack(attack, classifier, images, labels).images - images
    spectrum = np.abs(np.fft.fft(np.concatenate([change, change[:, ::-1]], 1), axis=1))
    assert change.any()
    assert spectrum[:, 2:15].max() < 0.2 * spectrum.max()


def gains(classifier, images, labels):
    """Return by how much each pixel of each image lowers the margin at most, `(n, h, w)`."""
    weights = classifier.weights.numpy()
    normal = (weights[:, 1] - weights[:, 0]) * np.where(labels == 0, 1, -1)[:, None]
    normal = normal.reshape(images.shape)
    return np.maximum(normal * (1 - images), -normal * images).sum(axis=3)


def confident():
    """Return a linear classifier that no colours turn from class 0 to 1, and its images."""
    classifier = LinearClassifier(SHAPE, 2)
    classifier.bias.assign_add([50.0, 0.0])
    images = grey_images(classifier, 4, spread=0.3)[0]
    return classifier, images, np.zeros(4, np.int64)


@pytest.mark.parametrize(
    ("shape", "eps", "least"),
    [
        ("pixels", 5, 0.95),
        pytest.param("frame", 18, 0.999, marks=pytest.mark.slow),
        pytest.param("patch", 9, 0.999, marks=pytest.mark.slow),
    ],
)
def test_sparse_rs_finds_the_best_pixels_and_colours(shape, eps, least):
    classifier, images, labels = confident()
    attack = create("attacks", "sparse_rs", shape=shape, eps=eps, queries=1500)
    gain = gains(classifier, images, labels)
    crafted = run_attack(attack, classifier, images, labels).images
    if shape == "pixels":
        best = np.sort(gain.reshape(4, -1), axis=1)[:, -5:].sum(axis=1)
    elif shape == "frame":
        best = gain.sum(axis=(1, 2)) - gain[:, 1:-1, 1:-1].sum(axis=(1, 2))
    else:  # of the colours at the place where it ended
        best = np.where((crafted != images).any(axis=3), gain, 0.0).sum(axis=(1, 2))
    share = fallen(classifier, attack, images, labels) / best
    assert (share <= 1 + 1e-4).all()
    assert np.median(share) >= least


def test_sparse_rs_changes_a_square_or_the_border_and_nothing_else():
    classifier, images, labels = confident()
    for shape, eps in (("patch", 8), ("frame", 19)):
        attack = create("attacks", "sparse_rs", shape=shape, eps=eps, queries=30)
        changed = (run_attack(attack, classifier, images, labels).images != images).any(axis=3)
        if shape == "frame":
            assert not changed[:, 1:-1, 1:-1].any()
        for one in changed if shape == "patch" else ():
            rows, columns = np.nonzero(one)
            assert np.ptp(rows) <= 1
            assert np.ptp(columns) <= 1


def test_the_largest_shape_within_the_budget_is_taken():
    for moves, pixels, count in [
        (PixelMoves, 7, 7),
        (PixelMoves, 99, 30),
        (PatchMoves, 24, 4),
        (PatchMoves, 99, 5),
        (FrameMoves, 18, 1),
        (FrameMoves, 29, 2),
        (FrameMoves, 30, 3),
    ]:
        assert moves.fitting(SHAPE, pixels).count == count
    assert FrameMoves.fitting(SHAPE, 17) is None


def test_a_budget_too_small_for_any_frame_is_refused(linear):
    attack = create("attacks", "sparse_rs", shape="frame", eps=17)
    message = "sparse_rs: eps: the narrowest frame has 18 pixels; received: 17"
    with pytest.raises(UsageError, match=message):
        run_attack(attack, *linear)


def test_square_scales_its_schedule_in_linf_and_keeps_the_published_one_in_l2():
    shape, queries = (64, 64, 3), 600
    sides = {norm: MOVES[norm](shape, queries, 0.8).sides for norm in MOVES}
    # The paper halves p after 10, 50, 200, 500, … of 10,000 queries.
    p = 0.8 / 2.0 ** np.searchsorted([10, 50, 200, 500, 1000], np.arange(queries))
    published = np.round(np.sqrt(p * 64 * 64)).astype(int)
    assert np.array_equal(sides["l2"], published // 2 * 2 + 1)
    assert sides["linf"][0] == published[0]
    assert sides["linf"][-1] == round(np.sqrt(0.8 / 2**9) * 64)
    assert np.array_equal(shares(10_000, 0.8, rescale=True), shares(10_000, 0.8, rescale=False))
