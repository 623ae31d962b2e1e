"""DDN, FMN, JSMA and σ-zero keep the contract and come near the known least distances."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.audited_runs import audited
from helpers.pairs import each_once
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, small_classifier
from tfrobust_attacks.minimum_norm.feature_pairs import best_pair
from tfrobust_attacks.minimum_norm.fmn_balls import BALLS
from tfrobust_attacks.minimum_norm.fmn_steps import start

SHAPES = [(6, 5, 2), (8, 8, 1), (4, 4, 3)]
NORMS = ["linf", "l2", "l1", "l0"]
ATTACKS = [("ddn", {}), ("sigma_zero", {}), *(("fmn", {"norm": norm}) for norm in NORMS)]
IDS = ["ddn", "sigma_zero", *(f"fmn-{norm}" for norm in NORMS)]


def judged(attack, classifier, images, labels, targets="next", batch_size=8):
    """Return an attack's audited adversarial images, and the clean ones."""
    run = audited(attack, classifier, images, labels, targets=targets, batch_size=batch_size)
    return run.audit, run.crafted.images


def confident_images(classifier, count, spread, seed=0):
    """Return images pushed towards their class, some to the bounds of the box, and their labels."""
    draw = np.random.default_rng(seed)
    weights = classifier.weights.numpy()
    way = (weights - weights.mean(axis=1, keepdims=True)).T
    way = (way / np.abs(way).max(axis=1, keepdims=True))[draw.integers(0, len(way), count)]
    noise = draw.uniform(-spread, spread, size=way.shape)
    images = np.clip(0.5 + noise + spread * way, 0, 1).astype(np.float32)
    images = images.reshape(count, *classifier.image_shape)
    return images, clean_predictions(classifier, images)


def over_other_classes(measure, classifier, images, labels):
    """Return the least of `measure(slope, pixels, gap)` over the classes to go to."""
    weights = classifier.weights.numpy().astype(np.float64)
    logits = classifier(tf.constant(images)).numpy().astype(np.float64)
    least = np.full(len(labels), np.inf)
    for row, (label, pixels) in enumerate(zip(labels, images, strict=True)):
        for other in set(range(classifier.num_classes)) - {label}:
            slope = (weights[:, other] - weights[:, label]).reshape(pixels.shape)
            gap = logits[row, label] - logits[row, other]
            least[row] = min(least[row], measure(slope, pixels, gap))
    return least


def rooms(slope, pixels):
    """Return how far each value can move the way that raises the slope's class."""
    return np.where(slope > 0, 1.0 - pixels, pixels)


def least_l1(slope, pixels, gap):
    """Return the least L1 change inside the box: the steepest values to their walls, in turn."""
    order = np.argsort(-np.abs(slope), axis=None)
    room, steep = rooms(slope, pixels).ravel()[order], np.abs(slope).ravel()[order]
    risen = np.cumsum(room * steep)
    if risen[-1] < gap:
        return np.inf
    full = np.searchsorted(risen, gap)
    before = risen[full - 1] if full else 0.0
    return room[:full].sum() + (gap - before) / steep[full]


def least_l0(slope, pixels, gap):
    """Return the fewest pixels to cross the boundary: those that raise most, to their walls."""
    raised = np.sort((np.abs(slope) * rooms(slope, pixels)).sum(axis=-1), axis=None)[::-1]
    enough = np.flatnonzero(np.cumsum(raised) > gap)
    return enough[0] + 1 if len(enough) else np.inf


def least_distance(norm, classifier, images, labels):
    if norm in ("linf", "l2"):
        return classifier.least_perturbation(images, labels, norm)
    measure = {"l1": least_l1, "l0": least_l0}[norm]
    return over_other_classes(measure, classifier, images, labels)


@pytest.mark.parametrize(
    ("case", "size"), each_once(ATTACKS, [*zip(SHAPES, [1, 3, 8], strict=True)])
)
def test_every_image_breaks_within_a_twentieth_of_the_least_distance(case, size):
    (name, options), (shape, batch_size) = case, size
    attack = create("attacks", name, **options)
    norm = attack.threat.norm
    for classes in (2, 10):
        classifier = LinearClassifier(shape, classes, seed=classes)
        images, labels = grey_images(classifier, 8, spread=0.3)
        verdict, _ = judged(attack, classifier, images, labels, batch_size=batch_size)
        ratio = verdict.distance[norm] / least_distance(norm, classifier, images, labels)
        assert verdict.success.all()
        assert np.median(ratio) <= 1.05
        assert ratio.min() >= 1 - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [2, 3, 5, 10])
@pytest.mark.parametrize(("name", "options"), ATTACKS, ids=IDS)
def test_every_image_breaks_with_many_classes_and_near_the_boundary_too(
    name, options, classes, shape
):
    attack = create("attacks", name, **options)
    norm = attack.threat.norm
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels = grey_images(classifier, 8)
    verdict, _ = judged(attack, classifier, images, labels)
    least = least_distance(norm, classifier, images, labels)
    assert verdict.success.all()
    assert np.median(verdict.distance[norm] / least) <= 1.05
    rounded = 1e-6  # of logits in float32, where the least distance is a thousandth
    assert (verdict.distance[norm] >= least * (1 - 1e-4) - rounded).all()


def test_steps_that_become_shorter_still_end_on_the_l1_ball():
    """The last λ, of a longer step, may lie above all pixels, where the sum is flat."""
    clean = tf.fill((1, 4, 4, 1), 0.5)
    state = start(clean, tf.zeros(1, tf.int64))
    state = state._replace(radius=tf.constant([1e-3]), threshold=tf.constant([0.5]))
    step = np.zeros((1, 4, 4, 1), np.float32)
    step[0, 0, :2, 0] = 0.3, 0.2
    stepped = BALLS["l1"].project(state, clean + step)
    np.testing.assert_allclose(stepped.distance, [1e-3], rtol=1e-3)
    np.testing.assert_allclose(np.abs(stepped.current - clean).sum(), 1e-3, rtol=1e-3)


SPARSE = [("fmn", {"norm": "l1"}), ("fmn", {"norm": "l0"}), ("sigma_zero", {})]


@pytest.mark.parametrize(("shape", "case"), each_once(SHAPES, SPARSE))
def test_sparse_norms_come_as_near_where_the_box_binds_and_many_pixels_must_change(shape, case):
    name, options = case
    attack = create("attacks", name, **options)
    norm = attack.threat.norm
    classifier = LinearClassifier(shape, 2, seed=2)
    images, labels = confident_images(classifier, 16, spread=0.5)
    verdict, _ = judged(attack, classifier, images, labels)
    least = least_distance(norm, classifier, images, labels)
    assert np.median(least_l0_of(classifier, images, labels)) >= 2
    assert verdict.success.all()
    assert np.median(verdict.distance[norm] / least) <= 1.05
    assert (verdict.distance[norm] >= least * (1 - 1e-4)).all()


def least_l0_of(classifier, images, labels):
    return over_other_classes(least_l0, classifier, images, labels)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_ddn_does_not_depend_on_the_scale_of_the_logits(scale):
    classifier, scaled = (LinearClassifier(num_classes=5, seed=5) for _ in range(2))
    scaled.weights.assign(scale * classifier.weights)
    scaled.bias.assign(scale * classifier.bias)
    images, labels = grey_images(classifier, 8, spread=0.3)
    attack = create("attacks", "ddn")
    plain, rescaled = (
        judged(attack, model, images, labels)[0].distance["l2"] for model in (classifier, scaled)
    )
    assert rescaled == pytest.approx(plain, rel=0.02)


@pytest.mark.parametrize(("name", "options"), [*ATTACKS, ("jsma", {"targeted": False})])
def test_an_image_misclassified_before_comes_back_unchanged(name, options):
    classifier = LinearClassifier()
    images, labels = grey_images(classifier, 8, spread=0.3)
    wrong = (labels + np.arange(8) % 2) % classifier.num_classes
    attack = create("attacks", name, **options)
    crafted = run_attack(attack, classifier, images, wrong).images
    same = (crafted == images).all(axis=(1, 2, 3))
    assert np.array_equal(same, labels != wrong)


@pytest.mark.slow  # the contract asks it of every attack
@pytest.mark.parametrize(("name", "options"), [*ATTACKS, ("jsma", {})], ids=[*IDS, "jsma"])
def test_an_image_without_adversarial_comes_back_unchanged(name, options):
    classifier = LinearClassifier()
    images, _ = grey_images(classifier, 4)
    classifier.bias.assign([99.0, 0.0, 0.0, 0.0])
    labels = clean_predictions(classifier, images)
    crafted = run_attack(
        create("attacks", name, **options), classifier, images, labels, targets="next"
    )
    assert np.array_equal(crafted.images, images)


@pytest.mark.parametrize(("name", "options"), ATTACKS, ids=IDS)
def test_the_result_of_a_single_step_counts_too(name, options):
    """The image after the last step counts, or a single step could never succeed."""
    classifier = LinearClassifier(num_classes=2)
    images, labels = grey_images(classifier, 8, spread=0.05)
    attack = create("attacks", name, **options | {"steps": 1})
    assert judged(attack, classifier, images, labels)[0].success.any()


@pytest.mark.parametrize(
    ("name", "norm", "images", "bar"),
    [("ddn", "l2", 50, 1.02), ("fmn", "l2", 50, 1.02), ("fmn", "linf", 200, 1.0)],
)
def test_norms_on_the_reference_are_no_longer_than_the_peers(reference, name, norm, images, bar):
    peer = reference.peers[{"l2": "cw_l2", "linf": "deepfool_linf"}[norm]]
    attack = create("attacks", name, **({"norm": norm} if name == "fmn" else {}))
    x, y = reference.images[:images], reference.labels[:images]
    verdict, _ = judged(attack, reference.classifier, x, y, batch_size=100)
    right = clean_predictions(reference.classifier, x) == y
    assert peer["images"] == images
    assert verdict.success[right].all()
    assert np.median(verdict.distance[norm][right]) <= bar * peer[f"median_{norm}"]


def test_jsma_on_the_reference_breaks_more_with_fewer_pixels_than_the_peer(reference):
    peer = reference.peers["jsma_targeted_0.1"]
    options = dict(peer["params"])
    targets = np.array(options.pop("targets"))
    images, labels = reference.images[: peer["images"]], reference.labels[: peer["images"]]
    attack = create("attacks", "jsma", **options)
    verdict, crafted = judged(attack, reference.classifier, images, labels, targets, 50)
    right = clean_predictions(reference.classifier, images) == labels
    still = clean_predictions(reference.classifier, crafted) == labels
    assert (right & still).mean() <= peer["robust_accuracy"] + 0.005
    assert verdict.distance["l0"][right & ~still].mean() <= 1.02 * peer["mean_l0"]
    assert verdict.distance["l0"].max() <= options["gamma"] * images[0].size


def every_pair(gain, loss, free):
    """Return the value of the best pair, found by comparing all pairs one by one."""
    gain, loss = gain[free].astype(np.float64), loss[free].astype(np.float64)
    gains, losses = gain[:, None] + gain, loss[:, None] + loss
    values = np.where((gains > 0) & (losses > 0), gains * losses, 0.0)
    np.fill_diagonal(values, 0.0)
    return values.max(initial=0.0)


KINDS = {
    "independent": lambda a, b: (a, b),
    "alike": lambda a, b: (a, a + 0.1 * b),
    "opposed": lambda a, b: (a, -a + 0.1 * b),
    "tied": lambda a, b: (np.round(a), np.round(b)),
    "all equal": lambda a, b: (np.ones_like(a), np.ones_like(b)),
    "heavy-tailed": lambda a, b: (a**5, b**5),
    "on a hyperbola": lambda a, b: (np.exp(2 * a), np.exp(-2 * a)),
    "without a pair": lambda a, b: (a, -np.abs(b)),
    "tiny": lambda a, b: (1e-25 * a, 1e-25 * b),
}


@pytest.mark.parametrize("features", [2, 3, 9, 150])
def test_the_best_pair_of_slopes_of_every_kind_is_that_of_a_full_search(features):
    search = tf.function(best_pair)  # traced once for all kinds
    for kind, slopes in KINDS.items():
        draw = np.random.default_rng(features)
        gain, loss = slopes(*draw.normal(size=(2, 30, features)))
        gain, loss = gain.astype(np.float32), loss.astype(np.float32)
        free = draw.uniform(size=gain.shape) < 0.8
        pair = search(*map(tf.constant, (gain, loss, free)))
        first, second, rows = pair.first.numpy(), pair.second.numpy(), np.arange(30)
        sums = [x[rows, first].astype(np.float64) + x[rows, second] for x in (gain, loss)]
        best = np.array([every_pair(*row) for row in zip(gain, loss, free, strict=True)])
        there = pair.value.numpy() > 0
        assert np.array_equal(there, best > 0), kind
        assert (sums[0] * sums[1])[there] == pytest.approx(best[there], rel=1e-5, abs=0.0), kind
        assert (first != second)[there].all(), kind
        assert (free[rows, first] & free[rows, second])[there].all(), kind


def plain_jsma(classifier, image, target, steps, weighted):
    """Return the features that Papernot's loop changes, pair by pair, θ = 1."""
    image, changed = image.copy(), []
    for _ in range(steps):
        with tf.GradientTape(persistent=True) as tape:
            batch = tf.constant(image[None])
            tape.watch(batch)
            logits = classifier(batch)
            others = tf.concat([logits[:, :target], logits[:, target + 1 :]], 1)
            rest = tf.reduce_logsumexp(others) if weighted else tf.reduce_sum(others)
            own = logits[0, target]
        if np.argmax(logits) == target:
            break
        gain = tape.gradient(own, batch).numpy().ravel()
        loss = -tape.gradient(rest, batch).numpy().ravel()
        gains, losses = gain[:, None] + gain, loss[:, None] + loss
        open_ = image.ravel() < 1
        allowed = open_[:, None] & open_ & ~np.eye(gain.size, dtype=bool)
        values = np.where(allowed & (gains > 0) & (losses > 0), gains * losses, 0.0)
        pair = np.unravel_index(values.argmax(), values.shape)
        image.ravel()[list(pair)] = 1.0
        changed.extend(pair)
    return sorted(changed)


@pytest.mark.parametrize("weighted", [True, False])
def test_jsma_changes_the_pairs_of_the_papers_loop(weighted):
    classifier = small_classifier()
    images, labels = grey_images(classifier, 6, spread=0.3)
    targets = np.argsort(classifier(images).numpy())[:, -2]  # the runners-up
    attack = create("attacks", "jsma", gamma=1.0, weighted=weighted)
    verdict, crafted = judged(attack, classifier, images, labels, targets)
    assert verdict.success.sum() >= 3
    for row in np.flatnonzero(verdict.success):
        changed = np.flatnonzero(crafted[row] != images[row]).tolist()
        assert changed == plain_jsma(classifier, images[row], targets[row], 30, weighted)


def test_jsma_returns_what_missed_its_target_as_it_was_or_as_it_was_changed():
    classifier = small_classifier()
    images, labels = grey_images(classifier, 12, spread=0.3)
    targets = np.argsort(classifier(images).numpy())[:, 0]  # the least likely: few are reached
    kept, changed = (
        judged(create("attacks", "jsma", gamma=0.2, **options), classifier, images, labels, targets)
        for options in ({}, {"unreached": "changed"})
    )
    missed = ~kept[0].success
    assert missed.any()
    np.testing.assert_array_equal(kept[1][~missed], changed[1][~missed])
    np.testing.assert_array_equal(kept[1][missed], images[missed])
    moved = (changed[1] != images).any(axis=3).sum(axis=(1, 2))
    assert moved[missed].max() > 0
    assert moved.max() <= 0.2 * images[0].size
    assert not changed[0].success[missed].any()


@pytest.mark.parametrize("shape", SHAPES)
def test_with_two_classes_jsma_changes_the_fewest_pairs(shape):
    """The optimum raises the values that gain most to 1, two at a time."""
    classifier = LinearClassifier(shape, 2, seed=2)
    images, labels = confident_images(classifier, 16, spread=0.3)
    attack = create("attacks", "jsma", gamma=1.0)
    verdict, crafted = judged(attack, classifier, images, labels)
    changed = (crafted != images).sum(axis=(1, 2, 3))
    fewest = over_other_classes(fewest_raised, classifier, images, labels)
    assert verdict.success.all()
    assert (changed >= fewest).all()
    assert np.median(changed / (2 * np.ceil(fewest / 2))) <= 1.05


def fewest_raised(slope, pixels, gap):
    raised = np.sort(np.maximum(slope * (1.0 - pixels), 0.0), axis=None)[::-1]
    return np.flatnonzero(np.cumsum(raised) > gap)[0] + 1


@pytest.mark.parametrize("theta", [1.0, -1.0, 0.3])
def test_jsma_spends_no_more_than_gamma_and_moves_one_way_only(theta):
    classifier = LinearClassifier((8, 8, 1), 2, seed=2)
    images, labels = confident_images(classifier, 8, spread=0.5)
    attack = create("attacks", "jsma", theta=theta, gamma=0.2)
    verdict, crafted = judged(attack, classifier, images, labels)
    change = crafted - images
    assert verdict.success.any()
    assert (change != 0).sum(axis=(1, 2, 3)).max() <= 0.2 * 64
    assert (change * np.sign(theta) >= 0).all()


def test_jsma_refuses_steps_of_no_length(linear):
    attack = create("attacks", "jsma", theta=0.0)
    with pytest.raises(UsageError, match=r"jsma: theta: expected .* other than 0; received: 0"):
        run_attack(attack, *linear)
