"""The contract of certifiers."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from typing import Any, get_args

import keras
import numpy as np
import tensorflow as tf

from tfrobust.certifier import Certificates, Certifier
from tfrobust.classifier import Classifier
from tfrobust.classifiers.inference import clean_predictions
from tfrobust.classifiers.keras.classifier import KerasClassifier
from tfrobust.engine.gradients import loss_gradient
from tfrobust.errors import UsageError
from tfrobust.norms import ball
from tfrobust.options import record
from tfrobust.testing.classifiers import grey_images
from tfrobust.types import Flags, Images, Labels, Norm, PerImage

Prepared = Callable[[Classifier], Classifier]
_SHAPE = (5, 4, 1)
_STEPS = 20
_ROUNDING = 1e-4  # as a share of a radius
_DUAL = {"linf": 1, "l2": 2, "l1": np.inf}


def certifier_checks(
    prepared: Prepared = lambda network: network,
) -> Sequence[Callable[[Certifier], None]]:
    """Return the checks every certifier must pass; each takes a built certifier.

    The networks that are certified are Keras models: of a convolution, ReLU and dense layers, or of
    one dense layer where the certifier refuses that one.

    Args:
        prepared: makes the classifier that is certified of a network, such as a smoothed one. Of
            two classes that a linear network tells apart it must give the same answers.
    """

    def on_networks(check: Callable[[Certifier, Prepared], None]) -> Callable[[Certifier], None]:
        def checked(certifier: Certifier) -> None:
            check(certifier, prepared)

        checked.__name__, checked.__doc__ = check.__name__, check.__doc__
        return checked

    return (
        measures_in_a_known_norm,
        *map(
            on_networks,
            (
                certifies_every_image,
                certifies_no_wrong_answer,
                certifies_less_than_the_least_distance,
                verifies_less_than_the_least_distance,
                certifies_what_no_ascent_breaks,
                same_seed_same_certificates,
                refuses_a_radius_of_nothing,
            ),
        ),
    )


def measures_in_a_known_norm(certifier: Certifier) -> None:
    """Have a norm, and options that results can record."""
    assert certifier.norm in get_args(Norm), f"its norm is {certifier.norm!r}"
    json.dumps(record(certifier), allow_nan=False)


def certifies_every_image(certifier: Certifier, prepared: Prepared) -> None:
    """Return one radius an image, whatever the batch."""
    classifier = _accepted(certifier, prepared)
    images, labels = grey_images(classifier, 5)
    for count in (1, 5):
        found = _certified(certifier, classifier, images[:count], labels[:count])
        assert found.radii.shape == (count,), f"{count} images, {found.radii.shape} radii"
        verified = _verified(certifier, classifier, images[:count], labels[:count], 0.01)
        assert verified.shape == (count,), f"{count} images, {verified.shape} of them verified"
        assert verified.dtype == bool, f"expected bool; got {verified.dtype}"


def certifies_no_wrong_answer(certifier: Certifier, prepared: Prepared) -> None:
    """Return radius 0 for images that are read as another class than their label."""
    classifier = _accepted(certifier, prepared)
    images, labels = grey_images(classifier, 4)
    wrong = (labels + 1) % classifier.num_classes
    assert not _certified(certifier, classifier, images, wrong).radii.any(), "a radius above 0"
    assert not _verified(certifier, classifier, images, wrong, 1e-3).any(), "one is verified"


def certifies_less_than_the_least_distance(certifier: Certifier, prepared: Prepared) -> None:
    """Certify some images of a linear network, none farther than to the other class."""
    network = _linear()
    images, labels = grey_images(network, 8)
    least = _least(network, images, labels, certifier.norm)
    radii = _certified(certifier, prepared(network), images, labels).radii
    assert radii.any(), "no image of a linear network is certified"
    too_far = np.flatnonzero(radii > least * (1.0 + _ROUNDING))
    assert not too_far.size, (
        f"images {too_far.tolist()} are certified to {radii[too_far]}, and another class is "
        f"{least[too_far]} away"
    )


def verifies_less_than_the_least_distance(certifier: Certifier, prepared: Prepared) -> None:
    """Verify no radius in which another class lies."""
    network = _linear()
    images, labels = grey_images(network, 8)
    least = _least(network, images, labels, certifier.norm)
    eps = float(np.median(least))
    verified = _verified(certifier, prepared(network), images, labels, eps)
    assert not verified[least * (1.0 + _ROUNDING) < eps].any(), "verified where a class is nearer"


def certifies_what_no_ascent_breaks(certifier: Certifier, prepared: Prepared) -> None:
    """Certify nothing that steps along the gradient break; not asked where answers are random."""
    classifier = _accepted(certifier, prepared)
    if classifier.stochastic or certifier.norm == "l0":
        return
    images, labels = grey_images(classifier, 8)
    radii = _certified(certifier, classifier, images, labels).radii
    broken = _ascended(classifier, images, labels, certifier.norm, radii * (1.0 - _ROUNDING))
    assert not broken.any(), f"images {np.flatnonzero(broken).tolist()} are broken within radius"


def same_seed_same_certificates(certifier: Certifier, prepared: Prepared) -> None:
    """Return the same radii twice for one seed."""
    classifier = _accepted(certifier, prepared)
    images, labels = grey_images(classifier, 3)
    first, second = (_certified(certifier, classifier, images, labels).radii for _ in range(2))
    assert np.array_equal(first, second), "one seed gave two results"


def refuses_a_radius_of_nothing(certifier: Certifier, prepared: Prepared) -> None:
    """Refuse to verify a radius that is not above 0."""
    classifier = _accepted(certifier, prepared)
    images, labels = grey_images(classifier, 2)
    for eps in (0.0, -1.0, float("nan")):
        try:
            _verified(certifier, classifier, images, labels, eps)
        except UsageError:
            continue
        raise AssertionError(f"expected a UsageError of radius {eps}")


def _accepted(certifier: Certifier, prepared: Prepared) -> Classifier:
    """Return the network with a hidden layer; the linear one where the certifier refuses it."""
    classifier = prepared(_network())
    try:
        certifier.check(classifier)
    except UsageError:
        return prepared(_linear())
    return classifier


def _certified(
    certifier: Certifier, classifier: Classifier, images: Images, labels: Labels
) -> Certificates:
    certifier.check(classifier)
    return certifier.certify(classifier, images, labels, seed=3)


def _verified(
    certifier: Certifier, classifier: Classifier, images: Images, labels: Labels, eps: float
) -> Any:
    certifier.check(classifier)
    return np.asarray(certifier.verify(classifier, images, labels, eps, seed=3))


@functools.cache
def _network() -> KerasClassifier:
    """Return a network of a convolution, ReLU and dense layers, with fixed weights."""
    draw = keras.initializers.GlorotNormal(seed=7)
    layers = [
        keras.Input(_SHAPE),
        keras.layers.Conv2D(3, 3, padding="same", activation="relu", kernel_initializer=draw),
        keras.layers.Flatten(),
        keras.layers.Dense(8, activation="relu", kernel_initializer=draw),
        keras.layers.Dense(3, kernel_initializer=draw),
    ]
    return KerasClassifier(keras.Sequential(layers))


@functools.cache
def _linear() -> KerasClassifier:
    """Return a dense layer of two classes, that is undecided about grey."""
    draw = keras.initializers.GlorotNormal(seed=5)
    dense = keras.layers.Dense(2, kernel_initializer=draw)
    model = keras.Sequential([keras.Input(_SHAPE), keras.layers.Flatten(), dense])
    dense.bias.assign(-0.5 * tf.reduce_sum(tf.convert_to_tensor(dense.kernel), axis=0))
    return KerasClassifier(model)


def _least(network: KerasClassifier, images: Images, labels: Labels, norm: Norm) -> PerImage:
    """Return |z_1 − z_0| / ‖w_1 − w_0‖_q, `(batch,)`; the box must not bind."""
    if norm == "l0":
        return np.ones(len(images))  # no image is changed by less than a pixel
    logits, weights = np.asarray(network(images)), np.asarray(network.model.layers[-1].kernel)
    return np.abs(logits[:, 1] - logits[:, 0]) / np.linalg.norm(
        weights[:, 1] - weights[:, 0], _DUAL[norm]
    )


def _ascended(
    classifier: Classifier, images: Images, labels: Labels, norm: Norm, radii: PerImage
) -> Flags:
    """Tell which images steps along the margin's gradient break within their radii, `(batch,)`."""
    around, now = ball(norm), tf.convert_to_tensor(images)
    region = around.region(now, radii)
    length = tf.constant(radii[:, None, None, None]) / 4.0
    broken = np.zeros(len(images), bool)
    for _ in range(_STEPS):
        gradient, _ = loss_gradient(classifier, now, labels, targeted=False, loss="margin")
        now = around.step(now, gradient, length, region)
        broken |= clean_predictions(classifier, now) != labels
    return broken
