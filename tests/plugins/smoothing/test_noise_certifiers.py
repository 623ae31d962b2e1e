"""Certificates by noise: closed forms, the intervals, the draws, and what is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from helpers.support import InMemory, refused, small_classifier
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.pipeline.build import defended
from tfrobust.random import content_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, certifier_checks
from tfrobust.training.trainer import Trainer
from tfrobust_smoothing.confidence import hoeffding_margin, lower_mean, lower_share, upper_share
from tfrobust_smoothing.draws import NoisyNetwork
from tfrobust_smoothing.equivalence import equivalent
from tfrobust_smoothing.noise import Noise
from tfrobust_smoothing.pixel_dp_certificates import unit_radius
from tfrobust_smoothing.smoothed import Smoothed

DRAW = np.random.default_rng(8)


def certifier(name="smoothing", **options):
    return create("certifiers", name, **options)


def images(count=6):
    return np.random.default_rng(0).uniform(size=(count, 4, 4, 1)).astype(np.float32)


class Half(Classifier):
    """z = (0, w · x − b): half of the space each; it notes how many images it is shown."""

    def __init__(self):
        super().__init__(image_shape=(4, 4, 1), num_classes=2)
        self.weights = tf.constant(np.random.default_rng(4).normal(size=(16, 1)), tf.float32)
        self.shown = []

    def margin(self, shown):
        return tf.reshape(shown, (-1, 16)) @ self.weights - 0.3

    def __call__(self, shown):
        if not tf.is_symbolic_tensor(shown):
            self.shown.append(len(shown))
        margin = self.margin(shown)
        return tf.concat([tf.zeros_like(margin), margin], axis=1)

    def distances(self, shown):
        """Return how far the other half is, in L2."""
        return np.abs(self.margin(shown).numpy()[:, 0]) / np.linalg.norm(self.weights)

    def labels(self, shown):
        return (self.margin(shown).numpy()[:, 0] > 0).astype(np.int64)


def smoothed(network, kind="gaussian", scale=0.25, samples=20, **options):
    return Smoothed(network, Noise(kind, scale), samples, **options)


def test_the_radius_of_a_linear_classifier_is_just_below_its_distance_to_the_other_class():
    half, shown = Half(), images(12)
    found = certifier(n=20_000, n0=2000, batch=8192).certify(
        smoothed(half, scale=0.5, vote="majority"), shown, half.labels(shown), seed=3
    )
    distance = half.distances(shown)
    assert (found.radii <= distance + 1e-6).all()
    near = (distance > 0.05) & (distance < 1.0)  # farther, no draw is ever wrong
    assert near.sum() > 3
    assert (found.radii[near] > 0.9 * distance[near] - 0.03).all()


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_radii_in_another_norm_are_those_that_hold_in_every_direction(norm):
    half, shown = Half(), images(4)
    arguments = smoothed(half), shown, half.labels(shown)
    plain, other = (certifier(n=500, norm=n).certify(*arguments, seed=1) for n in ("l2", norm))
    share = 1 / 4 if norm == "linf" else 1
    assert np.allclose(other.radii, plain.radii * share)
    for first in ("l1", "l2", "linf"):
        order = {"l1": 1, "l2": 2, "linf": np.inf}
        radius = float(equivalent(np.array(1.0), first, norm, (2, 4, 3)))
        worst = np.stack([np.ones(24), np.eye(24)[0]])
        worst *= radius / np.linalg.norm(worst, order[norm], axis=1, keepdims=True)
        assert np.linalg.norm(worst, order[first], axis=1).max() == pytest.approx(1.0)


class Sharp(Wrapped):
    """A network that is ten times as sure."""

    def __call__(self, shown):
        return 10.0 * self.inner(shown)


class Wavering(Half):
    """Gives the second class a softmax of 0.51 on its half of the space, and none on the other."""

    def __call__(self, shown):
        chance = tf.where(self.margin(shown) > 0, 0.51, 1e-30)
        return tf.concat([tf.math.log1p(-chance), tf.math.log(chance)], axis=1)


@pytest.mark.parametrize("name", ["smoothing", "pixel_dp"])
def test_the_mean_is_certified_where_it_answers_even_if_the_votes_say_another_class(name):
    network, scale = Wavering(), 0.5
    across = network.weights.numpy().reshape(1, 4, 4, 1) / np.linalg.norm(network.weights)
    inside = network.margin(images(1)).numpy().item() / np.linalg.norm(network.weights)
    # 60 % of its copies are in the second half: the mean gives that class 0.306.
    shown = images(1) + across * np.float32(scale * stats.norm.ppf(0.6) - inside)
    mean, vote = smoothed(network, scale=scale), smoothed(network, scale=scale, vote="majority")
    ask = certifier(name, n=20_000, batch=8192)
    by_mean, by_vote = (
        [float(ask.certify(c, shown, [label], seed=1).radii[0]) for label in (0, 1)]
        for c in (mean, vote)
    )
    assert by_mean[1] == by_vote[0] == 0.0
    assert by_mean[0] > 0 < by_vote[1]
    # The mean of the second class is 0.51 Φ(t / σ): it wins where Φ(t / σ) = 1 / 1.02.
    limit = scale * (stats.norm.ppf(1 / 1.02) - stats.norm.ppf(0.6))
    assert by_mean[0] <= limit
    assert by_vote[1] <= scale * stats.norm.ppf(0.6)
    assert ask.certifies_answers(mean)
    assert ask.certifies_answers(vote)
    if name == "smoothing":
        assert by_mean[0] > 0.9 * scale * stats.norm.ppf(1 - 0.51 * 0.6)


def test_no_attack_changes_the_mean_answer_within_its_radius():
    network, shown = small_classifier((4, 4, 1)), images(6)
    scale, noise = 0.2, tf.random.stateless_normal((2000, 1, 4, 4, 1), (3, 1), stddev=0.2)

    def mean(given):
        logits = network(tf.reshape(given[None] + noise, (-1, 4, 4, 1)))
        return tf.reduce_mean(tf.reshape(tf.nn.softmax(10.0 * logits), (2000, len(given), -1)), 0)

    answers = np.argmax(mean(tf.constant(shown)), axis=1)
    radii = (
        certifier(n=1000, n0=500)
        .certify(smoothed(Sharp(network), scale=scale), shown, answers, seed=2)
        .radii
    )
    assert (radii > 0).sum() > 2
    attacked, rows = tf.constant(shown), tf.range(len(answers))
    for _ in range(10):
        with tf.GradientTape() as tape:
            tape.watch(attacked)
            own = tf.gather_nd(mean(attacked), tf.stack([rows, answers.astype(np.int32)], 1))
            loss = tf.reduce_sum(tf.math.log(own))
        step = tf.reshape(-tape.gradient(loss, attacked), (len(answers), -1))
        moved = tf.reshape(attacked - shown, (len(answers), -1)) + tf.math.l2_normalize(step, 1)
        moved = tf.math.l2_normalize(moved, 1) * radii[:, None]
        attacked = shown + tf.reshape(moved, shown.shape)
    certified = radii > 0
    assert (np.argmax(mean(attacked), axis=1) == answers)[certified].all()
    assert (own.numpy()[certified] > 0.5).all()


def test_the_bound_of_a_mean_is_hoeffdings_theorem_and_meets_the_exact_one_at_one():
    means = np.linspace(0.0, 1.0, 41)
    low = lower_mean(means, 300, 0.01)
    assert (low >= means - hoeffding_margin(300, 0.01) - 1e-12).all()
    assert (low <= lower_share(means * 300, 300, 0.01) + 1e-12).all()
    assert low[0] == 0.0
    assert low[-1] == pytest.approx(0.01 ** (1 / 300))
    inside = means[1:-1]
    entropy = inside * np.log(inside / low[1:-1])
    entropy += (1 - inside) * np.log((1 - inside) / (1 - low[1:-1]))
    assert np.allclose(300 * entropy, np.log(100))


def test_votes_of_a_classifier_that_answers_by_the_mean_are_not_its_answers():
    mean, vote = smoothed(Half()), smoothed(Half(), vote="majority")
    for interval, own in (("hoeffding", mean), ("clopper_pearson", vote)):
        ask = certifier("pixel_dp", interval=interval)
        assert [ask.certifies_answers(c) for c in (mean, vote)] == [own is mean, own is vote]


def test_intervals_are_those_of_an_exact_binomial_test_and_of_hoeffding():
    for wins, trials, alpha in [(0, 20, 0.05), (7, 20, 0.01), (20, 20, 0.001), (990, 1000, 0.2)]:
        for bound, side in ((lower_share, "greater"), (upper_share, "less")):
            test = stats.binomtest(wins, trials, alternative=side)
            expected = test.proportion_ci(1 - alpha, method="exact")
            value = expected.low if side == "greater" else expected.high
            assert float(bound(wins, trials, alpha)) == pytest.approx(value, abs=1e-12)
    assert 2 * np.exp(-2 * 50 * hoeffding_margin(50, 0.01) ** 2) == pytest.approx(0.02)


def test_a_bound_is_above_the_probability_as_rarely_as_it_says():
    wins = DRAW.binomial(200, 0.8, 20_000)
    assert (lower_share(wins, 200, 0.05) > 0.8).mean() < 0.05
    assert (lower_share(wins, 200, 0.05) > 0.8).mean() > 0.02


def test_one_seed_gives_one_result_whatever_the_batch_and_no_draw_is_left_out():
    half, shown = Half(), images(7)
    network = NoisyNetwork(half, half, "gaussian", 0.8)
    seeds = content_seeds(5, shown)

    def votes(start=0, stop=7, rows=1024, seed=seeds, draws=333, purpose=2):
        part = None if isinstance(seed, int) else seed[start:stop]
        given = seed if part is None else part
        return network.count(
            shown[start:stop], draws, "votes", seed=given, purpose=purpose, rows=rows
        )

    whole = votes()
    assert (whole.sum(axis=1) == 333).all()
    assert np.array_equal(whole, votes())
    for rows in (1, 50, 130, 10**6):
        assert np.array_equal(whole, votes(rows=rows))
    assert np.array_equal(whole[3:5], votes(3, 5))
    others = [votes(seed=content_seeds(6, shown)), votes(purpose=1)]
    assert all(not np.array_equal(whole, other) for other in others)


@pytest.mark.parametrize("kind", ["gaussian", "laplace"])
def test_the_draws_of_an_image_have_the_distribution_of_the_noise(kind):
    class Shown(Classifier):
        def __call__(self, given):
            return tf.reshape(given, (-1, 3))

    plain = Shown(image_shape=(1, 3, 1), num_classes=3)
    network = NoisyNetwork(plain, plain, kind, 0.3)
    signs = tf.constant([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    own = tf.constant([0.0, 0.7]), signs
    drawn = network._noisy(tf.zeros((2, 1, 3, 1)), own, tf.constant([4, 0]), tf.range(400))
    expected = stats.norm(scale=0.3) if kind == "gaussian" else stats.laplace(scale=0.3)
    assert stats.kstest(drawn[0].numpy().ravel(), expected.cdf).pvalue > 1e-3
    assert stats.kstest(drawn[1].numpy().ravel(), expected.cdf).pvalue > 1e-3
    assert np.array_equal(np.roll(drawn[0], -2, axis=1), drawn[1] * signs[1])
    assert np.abs(np.corrcoef(drawn[0].numpy().T, drawn[1].numpy().T)[:3, 3:]).max() > 0.9
    assert np.abs(np.corrcoef(drawn[0].numpy().T)[0, 1:]).max() < 0.05


def test_no_two_images_have_the_same_noise():
    seen = []

    class Seen(Half):
        def __call__(self, shown):
            tf.py_function(lambda noisy: seen.append(noisy.numpy()), [shown], [])
            return super().__call__(shown)

    half = Seen()
    some = np.tile(images(1), (200, 1, 1, 1))
    seeds = content_seeds(1, images(200))
    NoisyNetwork(half, half, "gaussian", 0.5).count(
        some, 50, "votes", seed=seeds, purpose=1, rows=10_000
    )
    noise = (np.concatenate(seen).reshape(200, 50, 16) - some.reshape(200, 1, 16)).round(4)
    assert len(np.unique(noise[:, 0], axis=0)) == 200
    across = np.corrcoef(noise.sum(axis=2)) - np.eye(200)
    assert np.sqrt((across**2).mean()) < 0.35  # 0.29 of sixteen random signs, 1 before them


def test_memory_is_flat_a_pass_shows_as_many_copies_as_asked_for_at_most(monkeypatch):
    monkeypatch.setattr(tf, "function", lambda call, **_: call)
    half, shown = Half(), images(5)
    for batch in (200, 50):
        half.shown.clear()
        ask = certifier(n=400, n0=100, batch=batch)
        ask.certify(smoothed(half), shown, half.labels(shown), seed=0)
        assert max(half.shown) == batch
        assert sum(half.shown) == 5 * 500


def test_it_abstains_where_no_class_has_more_than_half_and_a_wrong_answer_has_no_radius():
    half = Half()
    undecided = np.full((1, 4, 4, 1), 0.5, np.float32)
    undecided += (
        float(-half.margin(undecided)[0, 0])
        * half.weights.numpy().reshape(4, 4, 1)
        / (np.linalg.norm(half.weights) ** 2)
    )
    for name in ("smoothing", "pixel_dp"):
        found = certifier(name, n=400).certify(smoothed(half), undecided, [0], seed=0)
        assert (found.abstained.tolist(), found.radii.tolist()) == ([True], [0.0])
        shown = images(5)
        wrong = certifier(name, n=400).certify(
            smoothed(half), shown, 1 - half.labels(shown), seed=0
        )
        assert not wrong.radii.any()
        assert not wrong.abstained.all()


def test_pixel_dp_finds_the_longest_change_that_its_condition_allows():
    low, high = np.array([0.55, 0.8, 0.97, 0.5]), np.array([0.4, 0.1, 0.002, 0.5])
    assert np.allclose(unit_radius(low, high, "laplace"), 0.5 * np.log(low / high))
    radii = unit_radius(low, high, "gaussian")
    epsilon, delta = np.meshgrid(np.linspace(1e-3, 1, 600), np.geomspace(1e-9, 0.499, 600))
    length = epsilon / np.sqrt(2 * np.log(1.25 / delta))
    for radius, least, most in zip(radii, low, high, strict=True):
        holds = least > np.exp(2 * epsilon) * most + (1 + np.exp(epsilon)) * delta
        best = length[holds].max() if holds.any() else 0.0
        assert radius == pytest.approx(best, rel=0.02, abs=2e-3)


@pytest.mark.parametrize("interval", ["hoeffding", "clopper_pearson"])
def test_pixel_dp_certifies_less_than_the_distance_and_than_smoothing(interval):
    half, shown = Half(), images(8)
    arguments = smoothed(half, scale=0.5), shown, half.labels(shown)
    radii = certifier("pixel_dp", n=5000, interval=interval).certify(*arguments, seed=1).radii
    assert radii.any()
    assert (radii <= half.distances(shown)).all()
    assert (radii <= certifier(n=5000, alpha=0.05).certify(*arguments, seed=1).radii + 0.02).all()


def test_behind_a_first_layer_radii_are_divided_by_how_far_it_moves_things_apart():
    half, shown = Half(), images(5)
    doubled = (lambda given: 2.0 * given), (lambda given: half(given / 2.0))
    inside = smoothed(half, scale=0.5, halves=doubled, sensitivity=lambda kind: 2.0)
    outside = smoothed(half, scale=0.25)
    labels = half.labels(shown)
    for name in ("smoothing", "pixel_dp"):
        pair = [
            certifier(name, n=2000).certify(c, shown, labels, seed=1) for c in (inside, outside)
        ]
        assert pair[0].radii.any()
        assert np.allclose(pair[0].radii, pair[1].radii, atol=1e-6)


def test_a_trained_pixel_dp_tells_how_far_its_first_layer_moves_things_apart():
    dense = keras.layers.Dense(4, "relu")
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), dense, keras.layers.Dense(3)]
    )
    for noise, order in (("gaussian", 2), ("laplace", 1)):
        defense = create("defenses", "pixel_dp", after="first_layer", noise=noise)
        private = defense.restore(KerasClassifier(model), model)
        expected = np.linalg.norm(dense.kernel.numpy().T, order)
        assert private.sensitivity(noise) == pytest.approx(expected, rel=1e-4)


def test_what_noise_cannot_certify_is_refused_in_one_line():
    plain = LinearClassifier()
    refused(UsageError, lambda: certifier().check(plain), "smoothing: sigma", "-p sigma=0.25")
    certifier(sigma=0.25).check(plain)
    drawing = plain.replace(stochastic=True)
    refused(UsageError, lambda: certifier(sigma=0.1).check(drawing), "by its name in the store")
    laplace = smoothed(plain, "laplace")
    refused(UsageError, lambda: certifier().check(laplace), "laplace", "pixel_dp")
    certifier("pixel_dp").check(laplace)
    whole = plain.replace(batch_dependent=True)
    refused(UsageError, lambda: certifier(sigma=0.1).check(whole), "statistics of a batch")
    for wrong in (
        {"sigma": 0},
        {"sigma": float("nan")},
        {"alpha": 0},
        {"n": 0},
        {"norm": "l0"},
        {"batch": 49},
    ):
        refused(UsageError, lambda wrong=wrong: certifier(**wrong), "smoothing", *wrong)


def test_it_certifies_the_answers_of_a_classifier_with_this_noise_alone():
    plain, noisy = LinearClassifier(), smoothed(LinearClassifier())
    assert certifier().certifies_answers(noisy)
    assert certifier(sigma=0.25).certifies_answers(noisy)
    assert not certifier(sigma=0.5).certifies_answers(noisy)
    assert not certifier(sigma=0.25).certifies_answers(plain)
    votes = certifier("pixel_dp", interval="clopper_pearson")
    named = [
        ask.variant(of)
        for ask, of in (
            (certifier(), noisy),
            (certifier(sigma=0.25), plain),
            (certifier(sigma=0.5), noisy),
            (votes, noisy),
        )
    ]
    other = "with noise σ=0.5, by the mean softmax"
    assert named == [None, "+ noise σ=0.25", other, "by votes"]
    assert (certifier().confidence, certifier("pixel_dp").confidence) == (0.999, 0.95)
    assert (certifier(n=10).passes, certifier().images_at_once) == (110, 20)


def test_a_random_network_inside_draws_the_same_for_one_seed():
    dropping = create("defenses", "mc_dropout", samples=1, rate=0.5)
    inside = defended(small_classifier(), [dropping], InMemory(), Trainer())
    arguments = smoothed(inside), images(3), np.zeros(3, np.int64)
    one, other = (certifier("pixel_dp", n=300).certify(*arguments, seed=2) for _ in range(2))
    assert np.array_equal(one.radii, other.radii)


def smooth(network):
    """Return a network whose mean softmax is near its votes."""
    return smoothed(Sharp(network), scale=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "named", [("smoothing", {}), ("pixel_dp", {"interval": "clopper_pearson"})], ids=lambda n: n[0]
)
@pytest.mark.parametrize("check", certifier_checks(smooth), ids=lambda check: check.__name__)
def test_certifiers_by_noise_keep_the_contract(check, named):
    name, options = named
    check(certifier(name, n=1000, **options))
