"""Defences that show the classifier other images, and the attacks that know them."""

import io
import tomllib
from importlib import import_module

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from scipy import ndimage

from helpers.support import REPO
from tfrobust import store
from tfrobust.classifiers.random_state import reseed
from tfrobust.engine.run import run_attack
from tfrobust.engine.victim import Surrogate
from tfrobust.errors import UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.pipeline.build import defended
from tfrobust.registry import create, name_of
from tfrobust.serving.servable import separated
from tfrobust.testing import LinearClassifier, defense_checks, grey_images, small_classifier
from tfrobust.training.trainer import Trainer
from tfrobust_transformations.bit_depth import BitDepth
from tfrobust_transformations.jpeg import Jpeg
from tfrobust_transformations.magnet import Magnet
from tfrobust_transformations.median_smoothing import MedianSmoothing
from tfrobust_transformations.random_resize_pad import RandomResizePad, resized
from tfrobust_transformations.thermometer import Thermometer

DEFENSES = [BitDepth(bits=3), MedianSmoothing(window=2), Jpeg(quality=50), RandomResizePad()]
everyone = pytest.mark.parametrize("defense", DEFENSES, ids=name_of)


def behind(classifier, *defenses):
    return defended(classifier, defenses, create("scenarios", "digits"), Trainer())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def accuracy(classifier, images, labels):
    return (np.asarray(classifier(tf.constant(images))).argmax(axis=1) == labels).mean()


def test_pixels_are_rounded_to_the_nearest_of_a_few_values():
    images = noise(3, 5, 4, 2)
    for bits in (1, 3, 8):
        rounded = BitDepth(bits=bits).rounded(tf.constant(images)).numpy()
        values = np.linspace(0, 1, 2**bits)
        nearest = values[np.abs(images[..., None] - values).argmin(axis=-1)]
        assert np.allclose(rounded, nearest, atol=1e-6)


@pytest.mark.parametrize("window", [2, 3, 5])
def test_medians_are_those_of_scipy(window):
    images = noise(3, 9, 7, 2)
    smoothed = MedianSmoothing(window=window).smoothed(tf.constant(images)).numpy()
    expected = ndimage.median_filter(images, (1, window, window, 1), mode="reflect")
    assert np.array_equal(smoothed, expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_images_are_those_of_another_codec(channels):
    base = np.stack(np.meshgrid(np.linspace(0, 1, 24), np.linspace(0, 1, 16)), axis=-1)
    images = (base[None, ..., :1] * noise(2, 1, 1, channels) * 0.9).astype(np.float32)
    compressed = Jpeg(quality=60).compressed(tf.constant(images)).numpy()
    for image, ours in zip(images, compressed, strict=True):
        pixels = np.round(image * 255).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(
            file, "JPEG", quality=60
        )
        theirs = np.asarray(PIL.Image.open(file), np.float32).reshape(image.shape)
        assert np.abs(ours * 255 - theirs).max() <= 4  # levels of 255
    assert np.abs(compressed - images).max() > 0.002


def test_a_coarser_compression_changes_images_more():
    images = tf.constant(noise(4, 16, 16, 3))
    changes = [
        np.abs(Jpeg(quality=quality).compressed(images) - images).mean() for quality in (95, 50, 10)
    ]
    assert changes == sorted(changes)
    assert changes[0] > 0


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_each_image_is_resized_to_its_own_size_and_put_at_its_own_place(method):
    images = noise(3, 10, 8, 2)
    share, top, left = np.float32([0.5, 0.8, 1.0]), np.float32([0, 0.99, 0]), np.float32([0.5] * 3)
    moved = resized(tf.constant(images), share, top, left, method).numpy()
    expected = np.zeros_like(images)
    for k, (height, width, row, column) in enumerate([(5, 4, 0, 2), (8, 6, 2, 1), (10, 8, 0, 0)]):
        small = tf.image.resize(images[k], (height, width), method)
        expected[k, row : row + height, column : column + width] = small
    assert np.allclose(moved, expected, atol=1e-5)


def test_every_image_and_every_call_draws_a_size_and_a_place():
    classifier = behind(LinearClassifier((12, 12, 1), 3), RandomResizePad(least=0.5))
    assert classifier.stochastic
    images = tf.ones((40, 12, 12, 1))
    shown = classifier.before(images).numpy()
    sizes = shown.sum(axis=(1, 2, 3))
    assert sizes.min() >= 6**2
    assert sizes.max() <= 12**2
    assert len(np.unique(shown.reshape(40, -1), axis=0)) > 20
    first, second = classifier(images).numpy(), classifier(images).numpy()
    assert not np.allclose(first, second)
    reseed(classifier, 1)
    again = classifier(images).numpy()
    reseed(classifier, 1)
    assert np.array_equal(again, classifier(images).numpy())


@everyone
def test_the_classifier_is_shown_the_transformed_images_and_serves_them(defense):
    network = LinearClassifier((8, 8, 1), 3)
    classifier = behind(network, defense)
    images = tf.constant(noise(5, 8, 8, 1))
    outputs = classifier.outputs(images)
    assert np.allclose(outputs["logits"], network(outputs["transformed"]), atol=1e-5)
    if not classifier.stochastic:
        assert np.allclose(outputs["logits"], classifier(images), atol=1e-5)
    applied = classifier.defenses[0]
    assert (applied.name, applied.adaptive) == (name_of(defense), defense.adaptive)
    assert separated(classifier, applied.name)(images).shape == images.shape


@pytest.mark.parametrize(
    "defense",
    [DEFENSES[0], *(pytest.param(one, marks=pytest.mark.slow) for one in DEFENSES[1:])],
    ids=name_of,
)
def test_an_export_transforms_and_is_attacked_like_the_classifier(defense, tmp_path):
    classifier = behind(small_classifier((8, 8, 1)), defense)
    loaded = store.load(store.export(classifier, tmp_path / "m" / "1"))
    images, labels = grey_images(loaded, 6)
    attack = create("attacks", "pgd", eps=0.2, steps=3, samples=2)
    if loaded.stochastic:
        assert not np.allclose(loaded(images), loaded(images))
    else:
        assert np.allclose(loaded(images), classifier(images), atol=1e-5)
        crafted = [run_attack(attack, one, images, labels).images for one in (classifier, loaded)]
        assert np.allclose(*crafted, atol=1e-5)
    assert loaded.defenses == classifier.defenses
    assert (loaded.surrogate is None) == (classifier.surrogate is None)


@pytest.mark.parametrize("defense", DEFENSES[:3], ids=name_of)
def test_an_attack_that_knows_the_transformation_breaks_what_a_naive_one_leaves(
    defense, trained, test_images
):
    images, labels = test_images
    classifier = behind(trained, defense)
    attack = create("attacks", "pgd", eps=0.25, steps=20)
    naive = run_attack(attack, trained, images, labels).images
    knowing = run_attack(attack, classifier, images, labels).images
    left = [accuracy(classifier, crafted, labels) for crafted in (naive, knowing)]
    assert left[0] > left[1] + 0.1
    assert left[1] < 0.1


@pytest.mark.slow
def test_the_mean_over_draws_breaks_what_a_naive_attack_leaves_of_random_images(reference):
    images, labels = reference.first(60)
    classifier = behind(reference.classifier, RandomResizePad())
    naive = create("attacks", "pgd", eps=0.2)
    averaging = create("attacks", "pgd", eps=0.2, samples=10)
    left = {
        kind: accuracy(classifier, run_attack(attack, victim, images, labels).images, labels)
        for kind, attack, victim in (
            ("naive", naive, reference.classifier),
            ("adaptive", averaging, classifier),
        )
    }
    assert left["naive"] > 0.4
    assert left["adaptive"] < 0.2


def test_surrogates_of_two_transformations_give_the_gradient_at_what_the_network_is_shown():
    network = small_classifier((8, 8, 1))
    chain = behind(network, BitDepth(bits=2), Jpeg(quality=60))
    images = tf.constant(noise(4, 8, 8, 1))
    shown = BitDepth(bits=2).rounded(Jpeg(quality=60).compressed(images))
    gradients = []
    for classifier, given in ((network, shown), (Surrogate(chain, chain.surrogate), images)):
        with tf.GradientTape() as tape:
            tape.watch(given)
            logits = classifier(given)
        gradients.append(tape.gradient(logits, given).numpy())
    assert np.allclose(*gradients, atol=1e-5)
    assert np.allclose(chain(images), network(shown), atol=1e-5)


@pytest.mark.slow
def test_an_adaptive_evaluation_of_a_random_defence_records_its_draws(trained):
    classifier = behind(trained, RandomResizePad())
    digits = create("scenarios", "digits")
    evaluated = evaluate({"r": classifier}, digits, adaptive=(0.1,), limit=4, baselines=())
    [attack] = evaluated.results.evaluations[0].adaptive
    assert (attack.adaptive.follows, attack.adaptive.draws) == ("own", 30)


@pytest.mark.parametrize(
    "defense",
    [*DEFENSES, *(pytest.param(one, marks=pytest.mark.slow) for one in (Magnet(), Thermometer()))],
    ids=name_of,
)
@pytest.mark.parametrize("check", defense_checks(), ids=lambda check: check.__name__)
def test_every_defence_keeps_the_contract(check, defense):
    check(defense)


@pytest.mark.parametrize(
    ("defense", "shape", "message"),
    [
        (Jpeg(), (8, 8, 2), "expected images of 1 or 3 channels; received: 2"),
        (MedianSmoothing(window=9), (8, 12, 1), "expected 8 or less, the side of the image"),
    ],
)
def test_images_that_do_not_fit_are_refused(defense, shape, message):
    with pytest.raises(UsageError, match=message):
        behind(LinearClassifier(shape, 3), defense)


def test_every_entry_point_of_the_package_names_a_plugin():
    points = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["entry-points"]
    ours = {
        name: target
        for kind in ("defenses", "detectors")
        for name, target in points[f"tfrobust.{kind}"].items()
        if target.startswith("tfrobust_transformations.")
    }
    for name, target in ours.items():
        module, _, cls = target.partition(":")
        assert name_of(getattr(import_module(module), cls)()) == name
    assert {"bit_depth", "median_smoothing", "jpeg", "random_resize_pad"} <= set(ours)
