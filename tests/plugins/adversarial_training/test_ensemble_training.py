"""Ensemble adversarial training: whose gradients attack a batch, and which networks it takes."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory, small_classifier
from tfrobust import store
from tfrobust.classifier import Wrapped
from tfrobust.engine.learning import learned
from tfrobust.errors import UsageError
from tfrobust.random import image_seeds
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images
from tfrobust.training.trainer import Trainer, TrainingOptions
from tfrobust_adversarial_training.ensemble_training import attacked_in_parts, attacked_on_one
from tfrobust_adversarial_training.inner_attack import partly

DATA = InMemory(images=48)
FGSM = create("attacks", "fgsm", eps=0.05)
SOURCES = [LinearClassifier((4, 4, 1), 3, seed=seed) for seed in range(3)]
IMAGES, LABELS = (tf.constant(array) for array in grey_images(SOURCES[0], 10))


def ensemble(**options):
    return create("defenses", "ensemble_training", **options)


def attacked_on(source, rows):
    return FGSM(source, IMAGES[rows], LABELS[rows], seed=0).numpy()


def source_of(attacked, rows):
    """Return the number of the network whose gradients attacked all these rows."""
    (source,) = [
        k for k, network in enumerate(SOURCES) if np.allclose(attacked_on(network, rows), attacked)
    ]
    return source


def test_half_of_a_batch_is_attacked_by_the_gradients_of_one_network_drawn_by_the_seed():
    perturb = tf.function(partly(attacked_on_one(FGSM, SOURCES), 0.5))
    drawn = []
    for seed in range(40):
        seeds = image_seeds(seed, 10)
        attacked = perturb(SOURCES[0], IMAGES, LABELS, seeds).numpy()
        np.testing.assert_array_equal(attacked[5:], IMAGES[5:])
        drawn.append(source_of(attacked[:5], slice(0, 5)))
        again = perturb(SOURCES[0], IMAGES, LABELS, seeds).numpy()
        np.testing.assert_array_equal(attacked, again)
    assert min(np.bincount(drawn, minlength=3)) > 4


@pytest.mark.parametrize("count", [10, 3, 2, 1])
def test_validation_images_are_attacked_in_equal_parts_on_every_network(count):
    given = IMAGES[:count], LABELS[:count], image_seeds(0, count)
    attacked = attacked_in_parts(FGSM, SOURCES)(SOURCES[0], *given).numpy()
    ends = [0, count // 3, 2 * count // 3, count]
    for k, (start, end) in enumerate(itertools.pairwise(ends)):
        if end > start:
            assert source_of(attacked[start:end], slice(start, end)) == k


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A store with two networks that fit, and two that do not."""
    root = tmp_path_factory.mktemp("models")
    store.export(small_classifier(), root / "first/1")
    small_classifier().model.save(root / "second.keras")
    store.export(small_classifier((5, 4, 1)), root / "wide/1")
    store.export(small_classifier(classes=4), root / "four/1")
    return root


@pytest.mark.slow
def test_networks_are_loaded_by_name_and_by_path_and_do_not_change(models):
    defense = ensemble(networks=["first", str(models / "second.keras")], eps=0.05)
    classifier, networks = small_classifier(), []

    class Keeping(type(defense)):
        def static_networks(self, classifier):
            networks.extend(super().static_networks(classifier))
            return networks

    own = Keeping(**{name: getattr(defense, name) for name in ("networks", "eps")})
    images, _ = grey_images(classifier, 5)
    with store.rooted(models):
        before = store.load("first")(images).numpy()
        own.apply(classifier, DATA, Trainer(TrainingOptions(epochs=1, batch_size=12)))
    assert len(networks) == 2
    for network in networks:
        np.testing.assert_allclose(network(images), before, atol=1e-6)
    assert np.abs(classifier(images).numpy() - before).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "networks: expected networks that were trained before; give -p networks=NAME"),
        ({"networks": "frist"}, "did you mean 'first'"),
        ({"networks": "there_is_none.pth"}, "networks: there is no file 'there_is_none.pth'"),
        ({"networks": ["first", "wide"]}, "received: 'wide' for \\(5, 4, 1\\) and 3"),
        ({"networks": "four"}, "received: 'four' for \\(4, 4, 1\\) and 4"),
        ({"networks": "first", "attack": "box_blur"}, "ensemble_training: attack: expected"),
        ({"networks": "first", "network_options": {"stem": "cifar"}}, "first; leave them out"),
    ],
    ids=str,
)
def test_networks_that_do_not_fit_are_refused_before_training(models, options, words):
    with store.rooted(models), pytest.raises(UsageError, match=words) as refusal:
        ensemble(**options).check(small_classifier(), DATA)
    assert "\n" not in str(refusal.value)


def test_a_network_with_the_classes_in_another_order_is_refused(monkeypatch):
    """The attack would use the loss of the wrong class."""
    mine = small_classifier().replace(class_names=("cat", "dog", "owl"))
    other = small_classifier()
    named = "tfrobust.pipeline.named_networks.network_of"
    monkeypatch.setattr(named, lambda called: other)
    ensemble(networks="first").check(mine, DATA)  # its classes have no names
    monkeypatch.setattr(named, lambda called: other.replace(class_names=("dog", "cat", "owl")))
    with pytest.raises(UsageError, match=r"in their order: cat, dog, owl; received: 'first'"):
        ensemble(networks="first").check(mine, DATA)


def test_a_network_without_gradients_is_refused_where_the_attack_climbs_them(models, monkeypatch):
    blunt = Wrapped(small_classifier(), differentiable=False)
    monkeypatch.setattr("tfrobust.pipeline.named_networks.network_of", lambda called: blunt)
    with pytest.raises(UsageError, match="'first' has no gradients that fgsm can climb"):
        ensemble(networks="first").check(small_classifier(), DATA)
    ensemble(networks="first", attack="gaussian_noise").check(small_classifier(), DATA)


def learned_on(classifier, file):
    """Let an attack learn a pattern for a classifier, and store it in a file."""
    uap = create("attacks", "uap", eps=0.1, passes=1, file=file)
    return learned(uap, classifier, *grey_images(classifier, 10))


@pytest.mark.slow
def test_a_pattern_learned_before_may_be_the_inner_attack(models, tmp_path):
    pattern = learned_on(SOURCES[1], tmp_path / "uap.npz").arrays["perturbation"]
    assert np.abs(pattern).max() > 0.05
    defense = ensemble(networks="first", attack="uap", options={"file": tmp_path / "uap.npz"})
    classifier, trained = small_classifier(), {}

    class Watching(Trainer):
        def fit(self, classifier, scenario, task):
            perturb = tf.function(task.perturb)
            trained["on"] = perturb(SOURCES[0], IMAGES, LABELS, image_seeds(0, 10))
            return super().fit(classifier, scenario, task)

    with store.rooted(models):
        defense.check(classifier, DATA)
        defense.apply(classifier, DATA, Watching(TrainingOptions(epochs=1, batch_size=12)))
    expected = np.concatenate([np.clip(IMAGES[:5] + pattern, 0, 1), IMAGES[5:]])
    np.testing.assert_allclose(trained["on"], expected, atol=1e-6)


def test_a_pattern_file_for_other_images_or_a_missing_one_is_refused_before_training(
    models, tmp_path
):
    file = tmp_path / "uap.npz"
    defense = ensemble(networks="first", attack="uap", options={"file": file})
    with store.rooted(models):
        with pytest.raises(UsageError, match=r"whose file .*uap\.npz is not there; name what"):
            defense.check(small_classifier(), DATA)
        learned_on(LinearClassifier((5, 4, 1), 3), file)
        for refuse in (defense.check, lambda *given: defense.apply(*given, Trainer())):
            with pytest.raises(UsageError, match="uap: file: expected a perturbation"):
                refuse(small_classifier(), DATA)


@pytest.mark.parametrize("options", [{"networks": ""}, {"networks": ["a", ""]}, {"share": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError, match=f"ensemble_training: {next(iter(options))}"):
        ensemble(**options)
