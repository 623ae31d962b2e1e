"""On linear classifiers the optimum inside a region is known, and attacks reach it."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.pairs import each_once
from helpers.support import Brightness, small_model
from helpers.thinned import thinned
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.object_boxes import free_of
from tfrobust.engine.run import run_attack
from tfrobust.evaluation.audit import audit
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, some_boxes

SHAPES = [(6, 5, 2), (8, 8, 1)]
NORMS = ["linf", "l2", "l1"]
REGIONS = ["foreground", "background"]
CLEVERHANS = ["cleverhans_bim", "cleverhans_pgd", "cleverhans_madry", "cleverhans_mim"]
FIXED_BUDGET = [
    *((name, norm, {}) for name in ("fgsm", "bim", "pgd", "apgd_ce", "apgd_t") for norm in NORMS),
    *(("mim", norm, {}) for norm in NORMS),
    *(("cleverhans_fgsm", norm, {}) for norm in ("linf", "l2")),
    *((name, norm, {"nb_iter": 20}) for name in CLEVERHANS for norm in ("linf", "l2")),
    ("square", "linf", {"queries": 2000}),
]
MINIMUM_NORM = [
    *(("deepfool", norm, {}) for norm in ("l2", "linf")),
    *(("fmn", norm, {}) for norm in (*NORMS, "l0")),
    *((name, norm, {"steps": 15}) for name in ("fab", "fab_t") for norm in NORMS),
    ("cw_l2", None, {}),
    ("ead", None, {}),
    ("ddn", None, {}),
    ("sigma_zero", None, {}),
    ("cleverhans_cw_l2", None, {"learning_rate": 1e-3}),
]


def in_turn(cases):
    """Give every other case the background, and the rest the foreground."""
    return [(*case, REGIONS[number % 2]) for number, case in enumerate(cases)]


def with_one_size(cases, sizes):
    """Give every case both sizes, of which one is slow; either size meets either region."""
    return [
        pytest.param(case, size, marks=[] if which != number // 2 % 2 else pytest.mark.slow)
        for number, case in enumerate(cases)
        for which, size in enumerate(sizes)
    ]


def case(shape=SHAPES[0], classes=2, count=8, **options):
    """Return classifier, images, labels and boxes of their own."""
    classifier = LinearClassifier(shape, classes, seed=classes)
    return classifier, *grey_images(classifier, count, **options), some_boxes(count, seed=1)


def built(name, norm, **options):
    return create("attacks", name, **({"norm": norm} if norm else {}), **options)


def free_pixels(attack, images, boxes):
    return np.asarray(free_of(attack, boxes, images))


def slopes(classifier, images, labels, free):
    """Yield each image's row, slope, room and gap towards each other class, as flat as pixels."""
    weights = classifier.weights.numpy().astype(np.float64)
    logits = classifier(tf.constant(images)).numpy().astype(np.float64)
    for row, label in enumerate(labels):
        for other in set(range(classifier.num_classes)) - {int(label)}:
            slope = (weights[:, other] - weights[:, label]).reshape(images.shape[1:]) * free[row]
            room = np.where(slope > 0, 1.0 - images[row], images[row])
            yield row, slope, room, logits[row, label] - logits[row, other]


def highest_gain(norm, eps, slope, room):
    """Return max ⟨slope, d⟩ over the ball; the box may bind in L1 only."""
    if norm != "l1":
        return eps * np.linalg.norm(slope.ravel(), {"linf": 1, "l2": 2}[norm])
    order = np.argsort(-np.abs(slope), axis=None)
    filled = np.minimum(np.cumsum(room.ravel()[order]), eps)
    return (np.diff(filled, prepend=0.0) * np.abs(slope).ravel()[order]).sum()


def least_sparse(norm, slope, room, gap):
    """Return the least L1 or L0 norm that closes the gap: the steepest pixels, to their walls."""
    raised, cost = np.abs(slope) * room, room
    if norm == "l0":
        raised, cost = raised.sum(axis=2), np.ones(room.shape[:2])
    order = np.argsort(-raised / np.maximum(cost, 1e-12), axis=None)
    raised, cost = raised.ravel()[order], cost.ravel()[order]
    full = int(np.searchsorted(np.cumsum(raised), gap))
    if full == len(raised):
        return np.inf
    share = 1.0 if norm == "l0" else (gap - raised[:full].sum()) / raised[full]
    return cost[:full].sum() + share * cost[full]


def least(norm, classifier, images, labels, free):
    if norm in ("linf", "l2"):
        return classifier.least_perturbation(images, labels, norm, free)
    distances = np.full(len(labels), np.inf)
    for row, slope, room, gap in slopes(classifier, images, labels, free):
        distances[row] = min(distances[row], least_sparse(norm, slope, room, gap))
    return distances


def lead(classifier, images, labels):
    logits = classifier(tf.constant(images)).numpy()
    rows = np.arange(len(labels))
    return logits[rows, 1 - labels] - logits[rows, labels]


@pytest.mark.parametrize(("name", "norm", "options", "region"), thinned(in_turn(FIXED_BUDGET)))
def test_the_inner_maximum_over_the_region_is_reached(name, norm, options, region):
    batch_size = 3 if region == "foreground" else 8
    classifier, images, labels, boxes = case()
    free = free_pixels(built("fgsm", norm, region=region), images, boxes)
    # Too small to change a class, so that early stopping never ends below the maximum.
    eps = 0.9 * float(least(norm, classifier, images, labels, free).min())
    long_steps = {"eps_iter": 0.8 * eps} if name in CLEVERHANS else {}
    attack = built(name, norm, region=region, eps=eps, **options, **long_steps)
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes, batch_size=batch_size)
    assert np.array_equal(np.where(free, images, crafted.images), images)
    gained = lead(classifier, crafted.images, labels) - lead(classifier, images, labels)
    best = [
        highest_gain(norm, eps, *slope[1:3]) for slope in slopes(classifier, images, labels, free)
    ]
    assert gained == pytest.approx(best, rel=1e-3, abs=1e-6)


PARTS = ["fgsm", "bim", "pgd", "apgd_ce", "apgd_t", "fab_t"]
BALLS = [("linf", "background"), ("l2", "foreground")]


@pytest.mark.parametrize(
    ("name", "ball"),
    [
        *thinned(each_once(PARTS, BALLS), one_in=2),
        *(pytest.param("autoattack", ball, marks=pytest.mark.slow) for ball in BALLS),
    ],
)
def test_exactly_those_images_break_that_can_be_broken_inside_the_region(name, ball):
    """Images leave the batch one after the other; each must keep its own boxes till the end."""
    norm, region = ball
    classifier, images, labels, boxes = case(count=16)
    options = {"queries": 20, "target_classes": 1} if name == "autoattack" else {}
    free = free_pixels(built("fgsm", norm, region=region), images, boxes)
    distance = least(norm, classifier, images, labels, free)
    eps = float(np.sort(distance)[7:9].mean())
    attack = built(name, norm, region=region, eps=eps, **options)
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes)
    verdict = audit(classifier, attack, images, labels, crafted.images, clean=labels, boxes=boxes)
    assert np.array_equal(verdict.success, distance < eps)
    assert not verdict.violation.any()


@pytest.mark.parametrize(
    ("attack", "sizes"),
    thinned(with_one_size(in_turn(MINIMUM_NORM), [(SHAPES[0], 3, 3), (SHAPES[1], 2, 8)]), one_in=2),
)
def test_the_least_distance_inside_the_region_is_met_within_a_twentieth(attack, sizes):
    (name, norm, options, region), (shape, classes, batch_size) = attack, sizes
    classifier, images, labels, boxes = case(shape, classes)
    attack = built(name, norm, region=region, **options)
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes, batch_size=batch_size)
    verdict = audit(classifier, attack, images, labels, crafted.images, clean=labels, boxes=boxes)
    norm_of = attack.threat.norm
    free = free_pixels(attack, images, boxes)
    ratio = verdict.distance[norm_of] / least(norm_of, classifier, images, labels, free)
    assert verdict.success.all()
    assert not verdict.violation.any()
    assert np.median(ratio) <= 1.05
    assert ratio.min() >= 1 - 1e-4


@pytest.mark.parametrize("region", REGIONS)
def test_jsma_changes_the_fewest_pairs_of_the_region(region):
    classifier, images, labels, boxes = case((8, 8, 1))
    attack = create("attacks", "jsma", gamma=1.0, region=region)
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes, targets="next").images
    free = free_pixels(attack, images, boxes)
    fewest = []
    for row, slope, _, gap in slopes(classifier, images, labels, free):
        raised = np.sort(np.maximum(slope * (1.0 - images[row]), 0.0), axis=None)[::-1]
        fewest.append(np.searchsorted(np.cumsum(raised), gap) + 1)
    changed = (crafted != images).sum(axis=(1, 2, 3))
    assert (changed >= fewest).all()
    assert np.median(changed / (2 * np.ceil(np.array(fewest) / 2))) <= 1.05


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_square_spends_nothing_outside_of_the_region(norm):
    """In L2 a change outside of the region would use up budget."""
    classifier, images, labels, boxes = case((12, 12, 1))
    eps = 0.3 if norm == "l2" else 0.05
    attack = built("square", norm, eps=eps, region="foreground", early_stop=False, queries=1000)
    crafted = run_attack(attack, classifier, images, labels, boxes=boxes).images
    spent = {"l2": np.sqrt(np.square(crafted - images).sum((1, 2, 3)))}
    spent["linf"] = np.abs(crafted - images).max((1, 2, 3))
    assert (spent[norm] >= 0.9 * eps).all()
    assert (spent[norm] <= eps * (1 + 1e-5)).all()


def test_a_universal_perturbation_is_added_inside_the_region_alone():
    classifier, images, labels, boxes = case(count=12)
    attack = create("attacks", "uap", eps=0.05, passes=2, region="foreground")
    change = run_attack(attack, classifier, images, labels, boxes=boxes).images - images
    free = free_pixels(attack, images, boxes)
    same = np.where(free, change, 0.0).sum(axis=0) / np.maximum(free.sum(axis=0), 1)
    assert np.abs(same).max() > 0.04
    assert change == pytest.approx(free * same, abs=1e-6)


def test_the_corrective_attack_corrects_exactly_what_the_region_allows():
    classifier, images, predicted, boxes = case(count=16)
    attack = create("attacks", "reverse_ifgsm", eps=0.1, region="background")
    free = free_pixels(attack, images, boxes)
    distance = least("linf", classifier, images, predicted, free)
    eps = float(np.sort(distance)[7:9].mean())
    attack = create("attacks", "reverse_ifgsm", eps=eps, region="background")
    corrected = run_attack(attack, classifier, images, 1 - predicted, boxes=boxes).images
    right = classifier(corrected).numpy().argmax(axis=1) != predicted
    assert np.array_equal(right, distance < eps)


def test_a_random_classifier_is_averaged_and_counted_inside_a_region_too():
    classifier = KerasClassifier(small_model(SHAPES[0], 3, dropout=0.5), stochastic=True)
    images, labels = grey_images(classifier, 6)
    options = {"eps": 0.1, "steps": 3, "samples": 4, "early_stop": False, "random_start": False}
    plain, part = (
        run_attack(
            create("attacks", "pgd", region=region, **options),
            classifier,
            images,
            labels,
            boxes=some_boxes(6),
        )
        for region in ("all", "foreground")
    )
    assert part.gradients == plain.gradients == 6 * 3 * 4
    assert part.queries == plain.queries


@pytest.mark.parametrize(
    "name", thinned(["pgd", "deepfool", "fab", "ddn", "cw_l2", "jsma", "ead", "fmn"])
)
def test_where_the_region_is_empty_nothing_moves(name):
    """A box that covers the whole image leaves no background, which is not an error."""
    images = np.full((3, 2, 2, 1), 0.4, np.float32)
    whole = np.tile(np.array([[[0.0, 0.0, 1.0, 1.0]]], np.float32), (3, 1, 1))
    whole[1, 0, 3] = 0.5  # half of one image is background
    quick = {"cw_l2": {"steps": 60, "binary_search_steps": 4}, "jsma": {"gamma": 1.0}}
    attack = create("attacks", name, region="background", **quick.get(name, {}))
    crafted = run_attack(attack, Brightness(), images, np.zeros(3, np.int64), boxes=whole).images
    assert np.array_equal(crafted[[0, 2]], images[[0, 2]])
    assert np.isfinite(crafted).all()
    assert np.array_equal(crafted[1, :, 0], images[1, :, 0])
    assert (crafted[1, :, 1] != images[1, :, 1]).any()
