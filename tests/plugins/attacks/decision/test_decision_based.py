"""Attacks that see predicted classes only: boundary, hopskipjump, pointwise, salt_and_pepper."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.audited_runs import audited
from helpers.pairs import each_once
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.engine.losses import clearly_adversarial
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.evaluation.audit import audit, distances
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.decision.boundary import Boundary
from tfrobust_attacks.decision.starting_points import SETTLING, Search, affordable

CHEAP = {
    "boundary": {"steps": 100},
    "hopskipjump-l2": {"steps": 3, "initial_gradient_eval_steps": 40},
    "hopskipjump-linf": {"steps": 3, "initial_gradient_eval_steps": 40, "norm": "linf"},
    "pointwise": {"restarts": 2, "start_steps": 20},
    "salt_and_pepper": {"steps": 60},
}
ONE_NORM = [
    pytest.param(case, marks=[pytest.mark.slow] * (case == "hopskipjump-linf")) for case in CHEAP
]
WALKS = ["boundary", "hopskipjump-l2", "hopskipjump-linf"]


def built(case, **options):
    """Build the attack of a case, `name` or `name-norm`, with few steps."""
    return create("attacks", case.split("-")[0], **(CHEAP[case] | options))


def crafted(attack, classifier, images, labels, **options):
    return run_attack(attack, classifier, images, labels, **options).images


CLOSED_FORMS = [
    ("boundary", "l2", {"steps": 2000}),
    ("hopskipjump", "l2", {"steps": 10}),
    ("hopskipjump", "linf", {"steps": 10, "norm": "linf"}),
]


CASES = [((6, 5, 2), 2, 3), ((8, 8, 1), 3, 8), ((4, 4, 3), 10, 1)]


@pytest.mark.parametrize(("walk", "case"), each_once(CLOSED_FORMS, CASES))
def test_walks_end_within_a_quarter_of_the_least_perturbation(walk, case):
    (name, norm, options), (shape, classes, batch_size) = walk, case
    classifier = LinearClassifier(shape, classes, seed=classes)
    images, labels = grey_images(classifier, 8, spread=0.3)
    attack = create("attacks", name, **options)
    adversarial = crafted(attack, classifier, images, labels, batch_size=batch_size)
    judged = audit(classifier, attack, images, labels, adversarial, clean=labels)
    least = classifier.least_perturbation(images, labels, norm)
    assert judged.success.all()
    assert np.median(judged.distance[norm] / least) <= 1.25
    assert (judged.distance[norm] >= least * (1 - 1e-4)).all()


def confident(shape):
    """Return a linear classifier that a quarter of all possible change turns from class 0 to 1."""
    classifier = LinearClassifier(shape, 2, seed=5)
    slope = classifier.weights[:, 1] - classifier.weights[:, 0]
    lead = 0.25 * 0.5 * tf.reduce_sum(tf.abs(slope))
    classifier.bias.assign_add(tf.stack([lead, 0.0]))
    images, _ = grey_images(classifier, 8, spread=0.3)
    return classifier, images, np.zeros(8, np.int64)


def fewest_pixels(classifier, images, labels):
    """Return the least number of pixels that take class 0 to class 1: those that gain most."""
    weights, logits = classifier.weights.numpy(), classifier(images).numpy()
    slope, flat = weights[:, 1] - weights[:, 0], images.reshape(len(images), -1)
    gain = np.maximum(slope * (1 - flat), -slope * flat)
    gain = gain.reshape(len(images), -1, images.shape[3]).sum(axis=2)
    sums = np.cumsum(-np.sort(-gain, axis=1), axis=1)
    return 1 + (sums < (logits[:, 0] - logits[:, 1])[:, None]).sum(axis=1)


@pytest.mark.parametrize("shape", [(6, 5, 2), (8, 8, 1), (4, 4, 3)])
def test_pointwise_changes_at_most_half_as_many_pixels_again_as_are_needed(shape):
    classifier, images, labels = confident(shape)
    attack = create("attacks", "pointwise")
    adversarial = crafted(attack, classifier, images, labels)
    judged = audit(classifier, attack, images, labels, adversarial, clean=labels)
    fewest = fewest_pixels(classifier, images, labels)
    assert judged.success.all()
    assert fewest.min() >= 2
    assert np.median(judged.distance["l0"] / fewest) <= 1.5
    assert (judged.distance["l0"] >= fewest).all()


def test_no_single_pixel_that_pointwise_changes_could_be_restored(trained, test_images):
    images, labels = test_images[0][:12], test_images[1][:12]
    adversarial = crafted(built("pointwise"), trained, images, labels)
    for image, label, attacked in zip(images, labels, adversarial, strict=True):
        changed = np.argwhere((attacked != image).any(axis=2))
        without = np.repeat(attacked[None], len(changed), axis=0)
        for row, (y, x) in enumerate(changed):
            without[row, y, x] = image[y, x]
        assert len(changed) == 0 or (clean_predictions(trained, without) == label).all()


def test_refining_pointwise_lowers_l1_and_l2_over_the_same_pixels(trained, test_images):
    images, labels = test_images[0][:12], test_images[1][:12]
    plain, refined = (
        distances(images, crafted(built("pointwise", refine=on), trained, images, labels))
        for on in (False, True)
    )
    assert (refined["l0"] <= plain["l0"]).all()
    assert refined["l1"].sum() < 0.99 * plain["l1"].sum()
    assert refined["l2"].sum() < plain["l2"].sum()


@pytest.mark.parametrize("alike", [True, False])
def test_salt_and_pepper_turns_pixels_black_or_white_with_or_without_their_other_channels(
    alike, linear
):
    classifier, images, labels = linear
    noisy = crafted(built("salt_and_pepper", across_channels=alike), classifier, images, labels)
    changed = noisy != images
    assert changed.any(axis=(1, 2, 3)).all()
    assert np.isin(noisy[changed], (0.0, 1.0)).all()
    assert (changed[..., 0] == changed[..., 1]).all() == alike


class ClassOnly(Wrapped):
    """Logits that show the class and nothing else."""

    def __call__(self, images):
        return 3.0 * tf.one_hot(tf.argmax(self.inner(images), axis=1), self.num_classes)


@pytest.mark.parametrize("case", ONE_NORM)
def test_only_the_predicted_class_is_read(case, trained, test_images):
    images, labels = test_images[0][:8], test_images[1][:8]
    attack = built(case)
    open_, closed = (crafted(attack, c, images, labels) for c in (trained, ClassOnly(trained)))
    assert np.array_equal(open_, closed)
    assert not np.array_equal(open_, images)


class Stubborn(Classifier):
    """Always the same class."""

    def __call__(self, images):
        return tf.tile([[0.0, 1.0, 0.0]], (tf.shape(images)[0], 1))


@pytest.mark.slow  # the contract asks it of every attack
@pytest.mark.parametrize("case", CHEAP)
def test_an_image_without_any_adversarial_comes_back_unchanged(case):
    classifier = Stubborn(image_shape=(6, 5, 2), num_classes=3)
    images, _ = grey_images(classifier, 4)
    assert np.array_equal(crafted(built(case), classifier, images, np.ones(4, np.int64)), images)


@pytest.mark.parametrize("case", ONE_NORM)
def test_an_image_misclassified_already_comes_back_unchanged(case, linear):
    classifier, images, labels = linear
    wrong = labels.copy()
    wrong[::2] = (labels[::2] + 1) % classifier.num_classes
    attacked = crafted(built(case), classifier, images, wrong)
    same = (attacked == images).all(axis=(1, 2, 3))
    assert np.array_equal(same, wrong != labels)


@pytest.mark.parametrize("case", WALKS)
def test_a_walk_reaches_every_target_on_a_linear_classifier(case):
    classifier = LinearClassifier()
    images, labels = grey_images(classifier)
    results = run_attack(built(case, targeted=True), classifier, images, labels, targets="next")
    assert np.array_equal(clean_predictions(classifier, results.images), results.targets)


@pytest.mark.parametrize("case", WALKS)
@pytest.mark.parametrize("queries", [20, 60, 700])
@pytest.mark.parametrize("count", [5, pytest.param(11, marks=pytest.mark.slow)])
def test_the_query_budget_is_a_hard_limit(case, queries, count, linear):
    classifier, images, labels = linear[0], linear[1][:count], linear[2][:count]
    attack = built(case, steps=1000, queries=queries)
    for batch_size in (count, 1):
        results = run_attack(attack, classifier, images, labels, batch_size=batch_size)
        assert results.queries <= queries * len(images)
    broken = clean_predictions(classifier, results.images) != labels
    assert broken.all() or queries < 60


def test_boundary_spends_its_budget_to_the_last_queries(linear):
    classifier, images, labels = linear
    spent = run_attack(
        built("boundary", steps=1000, queries=1000), classifier, images[:1], labels[:1]
    ).queries
    assert 998 <= spent <= 1000


def test_a_start_takes_a_quarter_of_the_budget_at_most_unless_that_is_too_little():
    search = Search()
    assert affordable(None, search) == affordable(10_000, search) == search
    for queries in (110, 200, 400, 800):
        assert affordable(queries, search).queries <= queries / 4
    assert affordable(400, search._replace(given=50)).queries <= 100
    assert affordable(60, search).queries + SETTLING <= 60
    assert affordable(25, search) is None


@pytest.mark.parametrize("case", ["boundary", "hopskipjump-linf"])
def test_every_target_is_reached_from_real_starting_images(case, reference, tmp_path):
    images, labels = reference.images[:20], reference.labels[:20]
    np.savez(tmp_path / "starts.npz", images=reference.images[100:])
    reached = {}
    for starts in (None, tmp_path / "starts.npz"):
        attack = built(case, targeted=True, start_images=starts)
        results = run_attack(attack, reference.classifier, images, labels, targets="next")
        predictions = clean_predictions(reference.classifier, results.images)
        reached[starts] = predictions == results.targets
    assert reached[tmp_path / "starts.npz"].all()
    assert not reached[None].all()


@pytest.mark.parametrize("case", ["boundary", "hopskipjump-l2"])
def test_starts_that_do_not_fit_are_refused(case, linear, tmp_path):
    np.savez(tmp_path / "grey.npz", images=np.zeros((3, 8, 8, 1), np.float32))
    np.savez(tmp_path / "bytes.npz", images=np.full((3, 6, 5, 2), 255, np.uint8))
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 6, 5, 2), np.float32))
    np.savez(tmp_path / "nan.npz", images=np.full((3, 6, 5, 2), np.nan, np.float32))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    for name, message in [
        ("grey", r"expected images \(n, 6, 5, 2\); received: \(3, 8, 8, 1\)"),
        ("none", r"expected images \(n, 6, 5, 2\); received: \(0, 6, 5, 2\)"),
        ("bytes", "expected pixels from 0 to 1; received: 255 to 255"),
        ("nan", "expected pixels from 0 to 1; received: nan to nan"),
        ("other", "expected an array 'images' in .* received: x"),
    ]:
        attack = built(case, start_images=tmp_path / f"{name}.npz")
        with pytest.raises(UsageError, match=f"{case.split('-')[0]}: start_images: .*{message}"):
            run_attack(attack, *linear)


def test_starts_count_as_queries_and_keep_to_the_budget(linear, tmp_path):
    classifier, images, labels = linear
    np.savez(tmp_path / "starts.npz", images=images)
    for queries in (60, 400):
        attack = built("boundary", queries=queries, start_images=tmp_path / "starts.npz")
        spent = run_attack(attack, classifier, images[:1], labels[:1]).queries
        assert spent <= queries


@pytest.mark.parametrize("option", ["steps", "queries"])
@pytest.mark.parametrize("name", ["boundary", "hopskipjump"])
def test_fewer_than_one_step_or_query_is_refused(name, option):
    with pytest.raises(UsageError, match=f"{name}: {option}: .*received: 0"):
        create("attacks", name, **{option: 0})


class Traced(LinearClassifier):
    """Counts how often its Python runs."""

    def __call__(self, images):
        self.traces = getattr(self, "traces", 0) + 1
        return super().__call__(images)


@pytest.mark.parametrize("few", [5, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", ONE_NORM)
def test_the_graph_does_not_grow_with_the_steps_and_is_traced_once(case, few):
    counts = []
    for steps in (few, 2 * few):
        classifier = Traced()
        images, labels = grey_images(classifier, 5)
        attack = built(case, **{"restarts" if case == "pointwise" else "steps": steps})
        classifier.traces = 0
        run_attack(attack, classifier, images, labels)
        counts.append(classifier.traces)
        run_attack(attack, classifier, images, labels, batch_size=3)
        assert classifier.traces == counts[-1]
    assert counts[0] == counts[1]


PEERS = [
    pytest.param("boundary", "boundary_l2_5000", {"steps": 5000}, marks=pytest.mark.slow),
    ("hopskipjump", "hopskipjump_l2", {"steps": 32, "max_gradient_eval_steps": 1000}),
    ("salt_and_pepper", "salt_and_pepper", {"steps": 1000}),
]


@pytest.mark.parametrize(("name", "key", "options"), PEERS)
def test_distances_match_foolbox_and_do_not_depend_on_the_batch_size(reference, name, key, options):
    peer = reference.peers[key]
    attack = create("attacks", name, **options)
    images, labels = reference.first(peer["images"])
    run = audited(attack, reference.classifier, images, labels)
    audit_result, broken = run.audit, run.broken(labels)
    right = audit_result.prediction == labels
    assert not audit_result.violation.any()
    assert right.mean() <= peer["robust_accuracy"] + 0.005
    assert np.median(audit_result.distance["l2"][broken]) <= 1.02 * peer["median_l2"]
    if attack.threat.norm == "l0":
        assert audit_result.distance["l0"][broken].mean() <= 1.02 * peer["mean_l0"]
    logits = reference.classifier(tf.constant(run.crafted.images[broken]))
    assert clearly_adversarial(logits, tf.constant(labels[broken]), targeted=False).numpy().all()


def test_pointwise_leaves_a_quarter_of_the_pixels_of_salt_and_pepper(reference):
    pixels = reference.peers["salt_and_pepper"]["mean_l0"]
    images, labels = reference.first(20)
    run = audited(create("attacks", "pointwise", restarts=2), reference.classifier, images, labels)
    broken = run.broken(labels)
    assert broken.sum() == 19  # one is misclassified before the attack
    assert run.audit.distance["l0"][broken].mean() <= pixels / 4


def test_steps_that_succeed_grow_and_steps_that_fail_shrink():
    attack = Boundary(step_adaptation=2.0)
    count = tf.constant([0.0, 1.0, 2.0, 3.0, 5.0])  # of five checks
    assert attack._factor(count, (0.2, 0.5)).numpy().tolist() == [0.5, 1.0, 1.0, 2.0, 2.0]


def test_salt_and_pepper_does_not_hang_on_a_lucky_draw(trained, test_images):
    images, labels = test_images
    right = clean_predictions(trained, images) == labels
    means = []
    for seed in (0, 1, 2):
        attack = create("attacks", "salt_and_pepper", steps=600)
        found = run_attack(attack, trained, images, labels, seed=seed).images
        changed = (np.abs(found - images).max(axis=-1) > 0).sum(axis=(1, 2))[right]
        means.append(changed.mean())
    assert max(means) < 4.0  # with a lucky level kept it is 3.9 to 6.2, by the seed
    assert max(means) - min(means) < 0.6
