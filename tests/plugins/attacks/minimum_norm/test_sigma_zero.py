"""σ-zero takes the paper's steps, and needs fewer pixels than FMN."""

import numpy as np
import pytest

from helpers.audited_runs import audited
from tfrobust.engine.run import run_attack
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, small_classifier


def plain_sigma_zero(classifier, image, label, steps, sigma=1e-3, rate=0.01):
    """Return the best iterate of the paper's algorithm for one image of one channel."""
    weights, bias = (
        value.numpy().astype(np.float64) for value in (classifier.weights, classifier.bias)
    )
    clean = image.astype(np.float64).ravel()
    change, mean, square = np.zeros_like(clean), np.zeros_like(clean), np.zeros_like(clean)
    best, fewest = change, np.inf
    size, threshold = 1.0, 0.3
    for number in range(steps + 1):
        logits = (clean + change) @ weights + bias
        rival = np.where(np.arange(len(logits)) == label, -np.inf, logits).argmax()
        adversarial = logits[rival] > logits[label]
        if adversarial and np.count_nonzero(change) < fewest:
            best, fewest = change.copy(), np.count_nonzero(change)
        gradient = 2 * sigma * change / (change**2 + sigma) ** 2 / len(clean)
        if not adversarial:
            gradient += weights[:, label] - weights[:, rival]
        gradient /= max(np.abs(gradient).max(), 1e-12)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        scale = np.sqrt(square / (1 - 0.999 ** (number + 1))) + 1e-8
        change = change - size * mean / (1 - 0.9 ** (number + 1)) / scale
        change = np.clip(clean + change, 0, 1) - clean
        size = 0.1 + 0.9 * (1 + np.cos(np.pi * number / steps)) / 2
        threshold = np.clip(threshold + (1 if adversarial else -1) * rate * size, 0, 1)
        change[np.abs(change) < threshold] = 0
    return (clean + best).reshape(image.shape)


@pytest.mark.parametrize("steps", [2, 40])
def test_images_of_one_channel_are_those_of_the_papers_algorithm(steps):
    """Float32 rounds the sign of a gradient near zero the other way in one image or another."""
    classifier = LinearClassifier((8, 8, 1), 3, seed=3)
    images, labels = grey_images(classifier, 20, spread=0.3)
    attack = create("attacks", "sigma_zero", steps=steps)
    crafted = run_attack(attack, classifier, images, labels).images
    wanted = np.stack(
        [
            plain_sigma_zero(classifier, image, label, steps)
            for image, label in zip(images, labels, strict=True)
        ]
    )
    assert (np.abs(crafted - wanted).max(axis=(1, 2, 3)) < 1e-4).mean() >= 0.9
    assert (wanted != images).any(axis=(1, 2, 3)).all()


def test_all_channels_of_a_pixel_count_once_and_are_undone_together():
    classifier = LinearClassifier((6, 5, 3), 4, seed=1)
    images, labels = grey_images(classifier, 8, spread=0.3)
    run = audited(create("attacks", "sigma_zero"), classifier, images, labels)
    changed = (run.crafted.images != images).sum(axis=3)
    assert run.audit.success.all()
    assert np.array_equal(run.audit.distance["l0"], (changed > 0).sum(axis=(1, 2)))
    assert np.median(changed[changed > 0]) == 3  # a pixel that pays for itself moves whole


def test_a_run_costs_its_steps_and_one_forward_pass():
    classifier = small_classifier()
    images, labels = grey_images(classifier, 4)
    crafted = run_attack(create("attacks", "sigma_zero", steps=7), classifier, images, labels)
    assert (crafted.gradients, crafted.queries) == (4 * 7, 4 * 8)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [100, 300])
def test_the_reference_breaks_with_no_more_pixels_than_fmn_needs(reference, steps):
    images, labels = reference.images[:50], reference.labels[:50]
    sigma_zero, fmn = (
        audited(attack, reference.classifier, images, labels, batch_size=50).audit
        for attack in (
            create("attacks", "sigma_zero", steps=steps),
            create("attacks", "fmn", norm="l0", steps=steps),
        )
    )
    assert sigma_zero.success.all()
    assert np.median(sigma_zero.distance["l0"]) <= np.median(fmn.distance["l0"])
