"""Generative perturbations: what they learn, how many images they fool, and their files."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfrobust.classifiers.inference import predict
from tfrobust.engine.learning import learned
from tfrobust.engine.run import run_attack
from tfrobust.errors import UsageError
from tfrobust.files.arrays import read_arrays, write_arrays
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust_attacks.universal.gap_generator import generated, generator, shapes

SMALL = {"filters": 4, "blocks": 1}


def gap(**options):
    return create("attacks", "gap", **(SMALL | options))


def two_classes():
    classifier = LinearClassifier(num_classes=2)
    return classifier, *grey_images(classifier)


def margin(classifier, images):
    logits = predict(classifier, images)
    return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize(
    ("norm", "mode"), [("linf", "universal"), pytest.param("l2", "image", marks=pytest.mark.slow)]
)
def test_on_a_linear_classifier_gap_comes_near_the_best_universal_perturbation(norm, mode):
    classifier, images, labels = two_classes()
    weights = classifier.weights.numpy()
    best = np.linalg.norm(weights[:, 1] - weights[:, 0], {"linf": 1, "l2": 2}[norm])
    attack = gap(norm=norm, eps=0.05, mode=mode, target=1, passes=40, learning_rate=0.04)
    crafted = run_attack(attack, classifier, images, labels)
    gained = margin(classifier, crafted.images) - margin(classifier, images)
    assert 0.9 * 0.05 * best < gained.mean() <= 0.05 * best * 1.0001


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"mode": "image"}, marks=pytest.mark.slow),
        {"norm": "l2", "eps": 2.0},
    ],
)
def test_a_pattern_learned_on_training_images_fools_on_others(trained, digits, options):
    attack = gap(**({"eps": 0.25, "passes": 8, "batch_size": 50, "learning_rate": 5e-3} | options))
    ready = learned(attack, trained, *(part[:300] for part in digits["train"]))
    images, labels = digits["test"]
    crafted = run_attack(ready, trained, images, labels).images
    before = predict(trained, images).argmax(1)
    assert (predict(trained, crafted).argmax(1) != before).mean() > 0.4


def test_universal_gives_one_pattern_and_image_gives_one_for_each_image(linear):
    classifier, images, labels = linear
    universal, per_image = (
        run_attack(gap(eps=0.05, passes=2, blocks=0, mode=mode), classifier, images, labels).images
        - images
        for mode in ("universal", "image")
    )
    assert universal == pytest.approx(np.broadcast_to(universal[:1], universal.shape), abs=1e-6)
    assert np.abs(per_image - per_image[:1]).max() > 1e-4


@pytest.mark.slow
def test_a_target_is_reached_and_images_of_that_class_count_as_unbroken(trained, digits):
    images, labels = digits["train"]
    attack = gap(eps=0.4, target=3, passes=6, batch_size=50, learning_rate=5e-3)
    crafted = run_attack(attack, trained, images[:300], labels[:300])
    own = labels[:300] == 3
    assert (crafted.targets[~own] == 3).all()
    assert (crafted.targets[own] == 4).all()
    assert (predict(trained, crafted.images).argmax(1) == 3)[~own].mean() > 0.5


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """An attack whose file holds a trained generator."""
    attack = gap(mode="image", eps=0.1, passes=1, file=tmp_path_factory.mktemp("gap") / "gap.npz")
    classifier = LinearClassifier()
    assert learned(attack, classifier, *grey_images(classifier)).gradients > 0
    return attack


def test_a_trained_generator_is_saved_and_draws_the_same_again(linear, drawing):
    first, again = (run_attack(drawing, *linear, seed=seed) for seed in (0, 1))
    assert np.array_equal(first.images, again.images)
    assert first.gradients == 0
    assert not np.array_equal(first.images, linear[1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"eps": 0.2}, r"gap: file: learned with eps=0\.1; expected eps=0\.2"),
        ({"mode": "universal"}, "gap: file: learned with mode=image; expected mode=universal"),
        ({"filters": 6}, "gap: file: learned with filters=4; expected filters=6"),
        ({"blocks": 2}, "gap: file: learned with blocks=1; expected blocks=2"),
        ({"target": 2}, "gap: file: learned with target=none; expected target=2"),
        ({"loss": "least_likely"}, "gap: file: learned with loss=away; .* give -p gap.loss=away"),
    ],
)
def test_a_file_is_refused_with_other_options_than_it_was_learned_with(
    linear, drawing, change, words
):
    with pytest.raises(UsageError, match=words):
        run_attack(dataclasses.replace(drawing, **change), *linear)


def test_options_of_learning_may_differ_from_those_of_the_file(linear, drawing):
    first, other = (
        run_attack(dataclasses.replace(drawing, **changes), *linear).images
        for changes in ({}, {"passes": 7, "learning_rate": 0.1, "training_images": 9})
    )
    assert np.array_equal(first, other)


def test_a_file_of_another_kind_costs_one_line(linear, tmp_path):
    path = tmp_path / "gap.npz"
    write_arrays(path, {"perturbation": np.zeros((6, 5, 2), np.float32)})
    with pytest.raises(UsageError, match=r"gap: file: .* does not tell what it was learned for"):
        run_attack(gap(file=path), *linear)


def test_a_file_for_other_images_is_refused(drawing):
    classifier = LinearClassifier((8, 8, 1))
    with pytest.raises(UsageError, match=r"gap: file: expected what .* images \(8, 8, 1\) and"):
        run_attack(drawing, classifier, *grey_images(classifier))


def test_a_target_beyond_the_classes_is_refused(linear):
    with pytest.raises(UsageError, match="gap: target: expected a class from 0 to 3; received: 4"):
        run_attack(gap(target=4), *linear)


@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 5, 2), (3, 7, 3)])
def test_a_generator_draws_a_perturbation_of_the_images_shape_whatever_the_batch(shape):
    model = generator(shape, 2, 1, seed=0)
    images = np.random.default_rng(0).uniform(size=(5, *shape)).astype(np.float32)
    drawn = model(images).numpy()
    assert drawn.shape == images.shape
    assert np.abs(drawn).max() <= 1
    assert model(images[:1]).numpy() == pytest.approx(drawn[:1], abs=1e-5)
    weights = [tf.constant(variable.numpy()) for variable in model.trainable_variables]
    assert [tuple(weight.shape) for weight in weights] == shapes(shape, 2, 1)
    assert generated(weights, images, shape, 2, 1).numpy() == pytest.approx(drawn, abs=1e-6)


def test_the_file_holds_the_pattern_in_its_ball(linear, tmp_path):
    attack = gap(eps=0.03, passes=1, file=tmp_path / "gap.npz")
    run_attack(attack, *linear)
    pattern = read_arrays(tmp_path / "gap.npz")["perturbation"]
    assert pattern.shape == (6, 5, 2)
    assert np.abs(pattern).max() == pytest.approx(0.03, rel=1e-5)
