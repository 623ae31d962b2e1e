"""`ibp` and `crown`: radii that hold, as large as they can be where that is known."""

import keras
import numpy as np
import pytest

from helpers.bounded_networks import dense_network, of_every_layer, some_images
from helpers.support import refused
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine import run_attack
from tfrobust.errors import UsageError
from tfrobust.norms.distances import distances
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, certifier_checks
from tfrobust_certifiers.bisection import largest_verified
from tfrobust_certifiers.crown import LinearCertifier
from tfrobust_certifiers.ibp import IntervalCertifier

DUAL = {"linf": 1, "l2": 2, "l1": np.inf}
CERTIFIERS = {"ibp": IntervalCertifier, "crown": LinearCertifier}


@pytest.mark.parametrize("check", certifier_checks(), ids=lambda check: check.__name__)
def test_interval_bounds_keep_the_contract(check):
    check(IntervalCertifier(halvings=8))


@pytest.mark.slow
@pytest.mark.parametrize("norm", DUAL)
@pytest.mark.parametrize("name", CERTIFIERS)
@pytest.mark.parametrize("check", certifier_checks(), ids=lambda check: check.__name__)
def test_certifiers_by_bounds_keep_the_contract(check, name, norm):
    check(CERTIFIERS[name](norm=norm))


@pytest.mark.slow
@pytest.mark.parametrize("check", certifier_checks(), ids=lambda check: check.__name__)
def test_optimised_slopes_keep_the_contract(check):
    check(LinearCertifier(alpha_steps=4))


@pytest.mark.parametrize("name", CERTIFIERS)
@pytest.mark.parametrize(
    "norm", ["l2", *(pytest.param(norm, marks=pytest.mark.slow) for norm in ("linf", "l1"))]
)
def test_radii_of_a_linear_network_are_the_closed_form(name, norm):
    classifier = KerasClassifier(dense_network(4))
    shown = 0.4 + 0.2 * some_images(6, (3, 3, 1))  # far from the walls
    labels = clean_predictions(classifier, shown)
    kernel, logits = np.asarray(classifier.model.weights[0]), np.asarray(classifier(shown))
    with np.errstate(invalid="ignore"):
        leads = logits[np.arange(6), labels][:, None] - logits
        lengths = np.linalg.norm(kernel[:, labels, None] - kernel[:, None], DUAL[norm], axis=0)
        least = np.nanmin(leads / lengths, axis=1)
    certifier = CERTIFIERS[name](norm=norm)
    radii = certifier.certify(classifier, shown, labels, seed=0).radii
    assert (least < 0.3).all(), "the walls bind"
    assert (radii <= least * (1 + 1e-5)).all()
    assert (radii >= least * 0.996).all()
    middle = float(np.median(least))
    verified = certifier.verify(classifier, shown, labels, middle, seed=0)
    assert (verified == (least > middle)).all()


def certified(classifier, shown, labels, **options):
    return [
        CERTIFIERS[name](**options).certify(classifier, shown, labels, seed=0).radii
        for name in CERTIFIERS
    ]


def test_crown_certifies_more_than_ibp():
    classifier = KerasClassifier(dense_network(8, 8, 4))
    shown = some_images(8, (3, 3, 1))
    labels = clean_predictions(classifier, shown)
    ibp, crown = certified(classifier, shown, labels, halvings=10)
    assert (crown >= ibp).all()
    assert np.median(crown) > 1.2 * np.median(ibp)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["keras", "tf_keras"])
def test_networks_of_every_layer_are_certified_in_every_norm_and_no_attack_is_nearer(kind):
    classifier = KerasClassifier(of_every_layer(pytest.importorskip(kind)))
    shown = some_images(6)
    labels = clean_predictions(classifier, shown)
    for norm in DUAL:
        ibp, crown = certified(classifier, shown, labels, norm=norm)
        assert (crown >= ibp).all()
        assert crown.all()
        attack = create("attacks", "fmn", norm=norm)
        crafted = run_attack(attack, classifier, shown, labels).images
        broken = clean_predictions(classifier, crafted) != labels
        assert broken.any()
        assert (crown[broken] <= distances(shown, crafted)[norm][broken]).all()


@pytest.mark.parametrize("name", CERTIFIERS)
def test_classes_that_draw_but_for_rounding_are_not_verified(name):
    classifier = KerasClassifier(dense_network(2))
    kernel, bias = classifier.model.layers[-1].weights
    kernel.assign(np.repeat([[1e5]], 9, axis=0) * [[1.0, 1.0]])
    bias.assign([0.0, -1e-3])  # of logits of 4e5, less than they are rounded by
    shown, labels = some_images(4, (3, 3, 1)), np.zeros(4, int)
    assert not CERTIFIERS[name]().verify(classifier, shown, labels, 1e-5, seed=0).any()
    bias.assign([0.0, -1e3])
    assert CERTIFIERS[name]().verify(classifier, shown, labels, 1e-5, seed=0).all()


def test_bounds_follow_a_training():
    classifier = KerasClassifier(dense_network(3))
    shown, labels = some_images(2, (3, 3, 1)), np.array([0, 0])
    crown = LinearCertifier()
    classifier.model.layers[-1].bias.assign([50.0, 0.0, 0.0])
    assert crown.verify(classifier, shown, labels, 0.5, seed=0).all()
    classifier.model.layers[-1].bias.assign([-50.0, 0.0, 0.0])
    assert not crown.verify(classifier, shown, labels, 0.5, seed=0).any()
    assert not crown.certify(classifier, shown, labels, seed=0).radii.any()


def test_bisection_finds_the_radius_to_a_share_of_it_within_what_was_asked_for():
    true = np.array([0.9, 0.0123, 3e-5, 0.0, 7.0])
    radii = largest_verified(lambda eps: eps <= true, 5, 1.0, 12)
    assert (radii <= true).all()
    assert (radii[:3] >= 0.996 * true[:3]).all()
    assert radii[3] == 0
    assert radii[4] == 1
    assert largest_verified(lambda eps: eps <= true, 5, 0.25, 12)[0] == np.float32(0.25)


def test_what_cannot_be_certified_is_named():
    crown = LinearCertifier()
    with pytest.raises(
        UsageError, match="crown: expected a Keras network, whose layers are bounded"
    ):
        crown.check(LinearClassifier())
    drawing = KerasClassifier(dense_network(3), stochastic=True)
    with pytest.raises(UsageError, match="crown: expected a network that gives the same answer"):
        crown.check(drawing)
    layers = [keras.Input((3, 3, 1)), keras.layers.Flatten(), keras.layers.LayerNormalization()]
    unknown = KerasClassifier(keras.Sequential([*layers, keras.layers.Dense(3)]))
    with pytest.raises(
        UsageError, match=r"crown: .*LayerNormalization; known layers are: Dense, Conv"
    ):
        crown.check(unknown)
    with pytest.raises(UsageError, match="crown: eps: expected a radius above 0; received: nan"):
        crown.verify(KerasClassifier(dense_network(3)), None, None, float("nan"), seed=0)
    refused(UsageError, lambda: create("certifiers", "crown", norm="l0"), "norm", "'linf', 'l2'")
