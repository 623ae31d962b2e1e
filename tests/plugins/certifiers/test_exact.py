"""`exact`: the least distance, as brute force finds it; and what stands over the time limit."""

import keras
import numpy as np
import pytest
from scipy.optimize import OptimizeResult

from helpers.bounded_networks import dense_network, some_images, with_drawn_weights
from tfrobust.bounds import LinearBounds
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.errors import UsageError
from tfrobust.testing import certifier_checks
from tfrobust_certifiers import mixed_integer
from tfrobust_certifiers.crown import LinearCertifier
from tfrobust_certifiers.exact import ExactCertifier
from tfrobust_certifiers.mixed_integer import Found, Program


@pytest.mark.slow
@pytest.mark.parametrize("check", certifier_checks(), ids=lambda check: check.__name__)
def test_exact_keeps_the_contract(check):
    check(ExactCertifier())


def two_pixels(seed):
    """A network of two pixels, which brute force can look at from everywhere."""
    return KerasClassifier(dense_network(5, 5, 3, seed=seed, shape=(2, 1, 1)))


@pytest.mark.parametrize(
    "seed", [3, *(pytest.param(s, marks=pytest.mark.slow) for s in range(4, 12))]
)
def test_the_least_distance_is_the_one_that_brute_force_finds(seed):
    classifier, step = two_pixels(seed), 1 / 400
    shown = some_images(6, (2, 1, 1), seed=seed)
    labels = clean_predictions(classifier, shown)
    found = ExactCertifier(attack=None).certify(classifier, shown, labels, seed=0)
    assert found.complete.all()
    ticks = np.linspace(0, 1, 401)
    grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2, 1, 1).astype(np.float32)
    read = clean_predictions(classifier, grid, batch_size=4096)
    for image, label, least, radius in zip(shown, labels, found.least, found.radii, strict=True):
        apart = np.abs(grid - image).max(axis=(1, 2, 3))[read != label]
        if not apart.size:
            assert least > 1 - step
            continue
        assert least <= apart.min() + 1e-5
        assert radius == pytest.approx(least, abs=1e-5)
        assert apart.min() <= least + step  # regions this narrow are between the ticks


def test_the_least_distance_of_a_linear_network_is_the_closed_form_and_wrong_images_have_none():
    classifier = KerasClassifier(dense_network(2))
    shown = 0.4 + 0.2 * some_images(4, (3, 3, 1))
    labels = clean_predictions(classifier, shown)
    kernel, logits = np.asarray(classifier.model.weights[0]), np.asarray(classifier(shown))
    least = np.abs(logits[:, 1] - logits[:, 0]) / np.abs(kernel[:, 1] - kernel[:, 0]).sum()
    labels[3] = 1 - labels[3]
    found = ExactCertifier(attack=None).certify(classifier, shown, labels, seed=0)
    assert np.allclose(found.least[:3], least[:3], rtol=1e-4)
    assert np.allclose(found.radii[:3], least[:3], rtol=1e-4)
    assert found.radii[3] == found.least[3] == 0
    assert found.complete.all()
    middle = float(np.median(least[:3]))
    verified = ExactCertifier(attack=None).verify(classifier, shown, labels, middle * 1.001, seed=0)
    assert (verified[:3] == (least[:3] > middle * 1.001)).all()
    assert not verified[3]


@pytest.mark.slow
def test_convolutions_sums_and_leaks_are_searched_too_and_crown_is_below():
    layers, shown = keras.layers, keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 3, padding="same", activation="relu")(shown)
    x = layers.LeakyReLU()(layers.Add()([x, layers.Conv2D(2, 3, padding="same")(x)]))
    x = layers.Dense(3)(layers.Flatten()(layers.AveragePooling2D(2)(x)))
    classifier = KerasClassifier(with_drawn_weights(keras.Model(shown, x), 5))
    images = some_images(4, (4, 4, 1))
    labels = clean_predictions(classifier, images)
    with_attack, without = (
        ExactCertifier(attack=attack).certify(classifier, images, labels, seed=0)
        for attack in ("fab_t", None)
    )
    assert with_attack.complete.all()
    assert np.allclose(with_attack.least, without.least, rtol=1e-4)
    crown = LinearCertifier().certify(classifier, images, labels, seed=0).radii
    assert (crown <= with_attack.least * (1 + 1e-5)).all()
    assert (crown > 0).all()


def never_feasible(goal, **given):
    return OptimizeResult(status=2, x=None, fun=None, mip_dual_bound=None)


def always_the_image_itself(goal, *, bounds, **given):
    pixels = 2
    at = (bounds.lb + bounds.ub) / 2
    return OptimizeResult(status=0, x=at, fun=at[pixels] / 2, mip_dual_bound=at[pixels] / 2)


@pytest.mark.parametrize(
    "solver", [pytest.param(never_feasible, marks=pytest.mark.slow), always_the_image_itself]
)
def test_a_solver_that_the_network_contradicts_is_not_believed(monkeypatch, solver):
    classifier = two_pixels(3)
    shown = 0.5 + np.zeros((1, 2, 1, 1), np.float32)
    labels = clean_predictions(classifier, shown)
    crown = LinearCertifier().certify(classifier, shown, labels, seed=0).radii
    monkeypatch.setattr(mixed_integer, "milp", solver)
    for attack in ("fab_t", None) if solver is always_the_image_itself else ("fab_t",):
        found = ExactCertifier(attack=attack).certify(classifier, shown, labels, seed=0)
        assert not found.complete.any()
        assert np.array_equal(found.radii, crown)
        assert (found.least > found.radii).all()


@pytest.mark.slow
def test_large_logits_are_searched_like_small_ones():
    shown = some_images(4, (2, 1, 1))
    small, large = two_pixels(3), two_pixels(3)
    last = large.model.layers[-1]
    last.set_weights([1e5 * weight for weight in last.get_weights()])
    labels = clean_predictions(small, shown)
    expected, found = (
        ExactCertifier(attack=None).certify(network, shown, labels, seed=0)
        for network in (small, large)
    )
    assert found.complete.all()
    assert np.allclose(found.least, expected.least, rtol=1e-4)


def test_no_rival_is_left_out_by_less_than_the_rounding_of_its_lead(monkeypatch):
    classifier = two_pixels(3)
    last = classifier.model.layers[-1]
    last.set_weights([1e5 * weight for weight in last.get_weights()])
    shown = some_images(1, (2, 1, 1))
    labels = clean_predictions(classifier, shown)
    asked = []

    def search(program, label, rivals, seconds):
        asked.extend(rivals)
        return Found(0.0, np.inf, complete=False)

    monkeypatch.setattr(Program, "search", search)
    monkeypatch.setattr(
        LinearBounds, "lead", lambda *given: np.where(np.arange(3) == labels, 0.0, -0.01)[None]
    )
    ExactCertifier(attack=None).verify(classifier, shown, labels, 0.01, seed=0)
    assert len(asked) == 2, "of such logits, 0.01 is rounding"


def test_a_search_without_any_time_proves_what_crown_does():
    classifier, shown = two_pixels(3), some_images(4, (2, 1, 1))
    labels = clean_predictions(classifier, shown)
    crown = LinearCertifier().certify(classifier, shown, labels, seed=0).radii
    found = ExactCertifier(attack=None, seconds=1e-9).certify(classifier, shown, labels, seed=0)
    assert crown.any()
    assert not found.complete.any()
    assert np.array_equal(found.radii, crown)


@pytest.mark.slow
def test_over_the_time_limit_both_bounds_stand_and_are_marked():
    classifier = KerasClassifier(dense_network(60, 60, 60, 10, shape=(8, 8, 1)))
    images = some_images(2)
    labels = clean_predictions(classifier, images)
    found = ExactCertifier(seconds=0.02).certify(classifier, images, labels, seed=0)
    assert not found.complete.any()
    assert (found.radii <= found.least).all()
    assert np.isfinite(found.least).all()


def test_a_network_that_cannot_be_searched_is_refused():
    layers = keras.layers
    pooled = [keras.Input((4, 4, 1)), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
    curved = [keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, "tanh"), layers.Dense(3)]
    large = [keras.Input((64, 64, 1)), layers.Conv2D(1, 3, activation="relu"), layers.Flatten()]
    for network, words in (
        (pooled, "received: one with max pooling; crown certifies those"),
        (curved, "received: one with another activation"),
        ([*large, layers.Dense(3)], "expected a small network; received: 3844 numbers that depend"),
    ):
        with pytest.raises(UsageError, match=f"exact: .*{words}"):
            ExactCertifier().check(KerasClassifier(keras.Sequential(network)))
    with pytest.raises(
        UsageError, match="exact: attack: expected one in linf; received: ddn in l2"
    ):
        ExactCertifier(attack="ddn").check(two_pixels(0))
