"""Every white-box run reports gradients that are zero, not finite or missing."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import InMemory
from tfrobust.classifier import Wrapped
from tfrobust.engine.counted import FirstGradients
from tfrobust.engine.run import run_attack
from tfrobust.errors import PluginError, UsageError
from tfrobust.evaluation.evaluator import evaluate
from tfrobust.evaluation.warnings.gradients import gradient_warnings
from tfrobust.registry import create
from tfrobust.report.page import render
from tfrobust.results.records import Results
from tfrobust.testing import small_classifier

QUICK = {
    "fgsm": {},
    "pgd": {"steps": 3},
    "apgd_ce": {"steps": 3},
    "deepfool": {"steps": 2},
    "cw_l2": {"steps": 3, "binary_search_steps": 1},
    "uap": {"passes": 1},
}


class Signs(Wrapped):
    """Sees only whether a pixel is bright: accurate, but its gradient is zero everywhere."""

    def __call__(self, images):
        return self.inner((tf.sign(images - 0.5) + 1.0) / 2.0)


class Halved(Wrapped):
    """Its gradient is NaN at images whose first pixel is dark."""

    def __call__(self, images):
        @tf.custom_gradient
        def identity(images):
            dark = images[:, :1, :1, :1] < 0.5
            return tf.identity(images), lambda upstream: tf.where(dark, np.nan, upstream)

        return self.inner(identity(images))


class Bytes(Wrapped):
    """Casts its images to integers inside, which cuts the gradient off."""

    def __call__(self, images):
        return self.inner(tf.cast(tf.cast(images * 255.0, tf.uint8), tf.float32) / 255.0)


class Cut(Wrapped):
    """Stops its gradient."""

    def __call__(self, images):
        return tf.stop_gradient(self.inner(images))


@pytest.fixture(scope="module")
def network():
    return small_classifier()


@pytest.fixture(scope="module")
def attacked(network):
    images = np.random.default_rng(0).uniform(0.1, 0.9, (12, *network.image_shape))
    images = images.astype(np.float32)
    return images, network(images).numpy().argmax(axis=1)


@pytest.mark.parametrize("name", QUICK)
def test_first_gradients_that_are_zero_are_counted_per_image(name, network, attacked):
    crafted = run_attack(
        create("attacks", name, **QUICK[name]), Signs(network), *attacked, batch_size=5
    )
    assert crafted.first.zero == crafted.first.images > 0
    assert crafted.first.non_finite == 0


@pytest.mark.parametrize("name", QUICK)
def test_an_ordinary_network_has_none(name, network, attacked):
    crafted = run_attack(create("attacks", name, **QUICK[name]), network, *attacked, batch_size=5)
    assert crafted.first.images > 0
    assert (crafted.first.zero, crafted.first.non_finite) == (0, 0)


@pytest.mark.parametrize("name", ["cw_l2", pytest.param("ead", marks=pytest.mark.slow)])
def test_several_gradients_at_once_count_one_first_gradient_per_image_in_every_trace(
    name, attacked
):
    """They are asked for at once, and TensorFlow would compute them in any order."""
    attack = create("attacks", name, steps=2, binary_search_steps=1)
    for _ in range(3):
        crafted = run_attack(attack, small_classifier(), *attacked, batch_size=5)
        assert crafted.first.images == 12


def test_gradients_that_are_not_finite_are_counted_per_image(network, attacked):
    images, labels = attacked
    crafted = run_attack(create("attacks", "fgsm"), Halved(network), images, labels, batch_size=5)
    dark = int((images[:, 0, 0, 0] < 0.5).sum())
    assert crafted.first == FirstGradients(images=12, zero=0, non_finite=dark)
    assert np.isfinite(crafted.images).all()


def test_an_attack_without_gradients_counts_none(network, attacked):
    crafted = run_attack(create("attacks", "square", queries=5), network, *attacked)
    assert crafted.first == FirstGradients()


@pytest.mark.slow  # AutoAttack
def test_an_ensemble_reports_the_gradients_of_its_first_part(network, attacked):
    plan = create("attacks", "autoattack", eps=0.01, steps=1, queries=1, target_classes=1)
    signs, images = Signs(network), attacked[0]
    crafted = run_attack(plan, signs, images, signs(images).numpy().argmax(axis=1))
    assert crafted.first == FirstGradients(images=12, zero=12)


@pytest.mark.parametrize(
    ("name", "cut"),
    [
        pytest.param(name, cut, marks=[] if number % 2 == place else pytest.mark.slow)
        for number, name in enumerate([*QUICK, "jsma", "fab_t", "ddn", "fmn", "cleverhans_pgd"])
        for place, cut in enumerate([Bytes, Cut])
    ],
)
def test_a_network_without_gradients_is_refused_with_the_way_out(cut, name, network, attacked):
    with pytest.raises(UsageError, match="needs gradients and this classifier has none") as refusal:
        run_attack(create("attacks", name), cut(network), *attacked)
    assert "\n" not in str(refusal.value)
    assert "square or hopskipjump" in str(refusal.value)


@pytest.mark.parametrize("name", ["square", "hopskipjump"])
def test_the_attacks_that_the_refusal_names_run(name, network, attacked):
    options = {"queries": 20} if name == "square" else {"steps": 1}
    crafted = run_attack(create("attacks", name, **options), Bytes(network), *attacked)
    assert crafted.queries > 0


def test_the_warning_is_in_results_and_page_and_comes_once_an_attack(network):
    scenario = InMemory(shape=network.image_shape, classes=network.num_classes)
    attacks = [create("attacks", "fgsm", eps=eps) for eps in (0.1, 0.2)]
    evaluated = evaluate({"signs": Signs(network)}, scenario, attacks, limit=8, baselines=())
    [evaluation] = evaluated.results.evaluations
    assert evaluation.attacks[0].gradients.model_dump() == {"zero": 1.0, "non_finite": 0.0}
    assert evaluation.warnings == [
        "fgsm on signs: gradients vanish at 100 % of the images; a white-box figure says nothing "
        "here; try square, hopskipjump"
    ]
    again = Results.model_validate_json(evaluated.results.to_json())
    assert again.evaluations[0].warnings == evaluation.warnings
    assert "gradients vanish at 100 %" in render(again, evaluated.outcomes)


def test_there_is_no_warning_where_gradients_are_sound(network):
    scenario = InMemory(shape=network.image_shape, classes=network.num_classes)
    evaluated = evaluate(
        {"d1": network}, scenario, [create("attacks", "fgsm")], limit=8, baselines=()
    )
    assert evaluated.results.evaluations[0].warnings == []
    assert gradient_warnings("d1", evaluated.results.evaluations[0].baselines) == []


class Broken(Wrapped):
    """Cannot be called."""

    def __call__(self, images):
        raise ValueError("out of order")


def test_a_network_that_cannot_be_called_is_not_taken_for_one_without_gradients(network, attacked):
    with pytest.raises(PluginError, match="fgsm failed: ValueError: out of order"):
        run_attack(create("attacks", "fgsm"), Broken(network), *attacked)
