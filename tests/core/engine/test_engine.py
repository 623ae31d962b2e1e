"""The engine: one trace, honest counts, and results that do not depend on how it is run."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from helpers.pairs import each_once
from helpers.support import small_classifier, typed_options
from tfrobust.attack import Attack, Threat
from tfrobust.classifier import Wrapped
from tfrobust.classifiers.inference import clean_predictions, predict
from tfrobust.engine.run import RunOptions, RunSettings, run_attack
from tfrobust.errors import PluginError, UsageError
from tfrobust.evaluation.audit import audit
from tfrobust.options import option, plugin
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images


class TraceCounting(Wrapped):
    """Counts how often Python calls it: every trace of an attack calls it at least once."""

    calls = 0

    def __call__(self, images):
        self.calls += 1
        return super().__call__(images)


def verdicts(attack, classifier, images, labels, **how):
    """Return which images the attack broke."""
    clean = clean_predictions(classifier, images)
    crafted = run_attack(attack, classifier, images, labels, **how)
    fate = audit(
        classifier, attack, images, labels, crafted.images, clean=clean, targets=crafted.targets
    )
    return fate.success


@pytest.mark.parametrize("name", ["fgsm", "pgd", "cleverhans_pgd", "cleverhans_cw_l2"])
def test_an_attack_is_traced_once_whatever_the_size_of_the_last_batch(name):
    short = {"cleverhans_cw_l2": {"max_iterations": 5}}
    classifier = TraceCounting(small_classifier())
    images, labels = grey_images(classifier, 11)
    classifier.calls = 0
    attack = create("attacks", name, **short.get(name, {}))
    run_attack(attack, classifier, images[:4], labels[:4], batch_size=4)
    after_one_batch = classifier.calls
    for batch_size in (4, 3, 11, 100):
        run_attack(attack, classifier, images, labels, batch_size=batch_size)
    assert classifier.calls == after_one_batch


@pytest.mark.parametrize(
    ("name", "options", "gradients", "queries"),
    [
        ("fgsm", {}, 1, 1),
        ("pgd", {"early_stop": False}, 40, 41),
        ("pgd", {"early_stop": False, "steps": 7}, 7, 8),
        ("pgd", {"early_stop": False, "steps": 7, "restarts": 3}, 21, 24),
        ("cleverhans_fgsm", {}, 1, 1),
        ("cleverhans_bim", {"nb_iter": 9}, 9, 9),
        ("cleverhans_mim", {"nb_iter": 9}, 9, 9),
        ("cleverhans_spsa", {"nb_iter": 3, "spsa_samples": 8}, 0, None),
    ],
)
def test_gradients_and_queries_are_counted_per_image(name, options, gradients, queries, linear):
    classifier, images, labels = linear
    crafted = run_attack(
        create("attacks", name, **options), classifier, images, labels, batch_size=4
    )
    assert crafted.gradients / len(images) == gradients
    assert queries is None or crafted.queries / len(images) == queries
    assert crafted.queries >= crafted.gradients


def test_counts_start_at_zero_in_every_run(linear):
    classifier, images, labels = linear
    attack = create("attacks", "fgsm")
    runs = [run_attack(attack, classifier, images, labels) for _ in range(3)]
    assert [run.gradients for run in runs] == [len(images)] * 3


@pytest.mark.parametrize(("norm", "restarts"), each_once(["linf", "l2"], [1, 3]))
def test_early_stopping_changes_no_verdict_and_saves_gradients(
    norm, restarts, trained, test_images
):
    eps = {"linf": 0.08, "l2": 0.5}[norm]
    stops = create("attacks", "pgd", eps=eps, norm=norm, steps=15, restarts=restarts)
    goes_on = dataclasses.replace(stops, early_stop=False)
    assert np.array_equal(
        verdicts(stops, trained, *test_images), verdicts(goes_on, trained, *test_images)
    )
    saved = run_attack(stops, trained, *test_images).gradients
    assert saved < run_attack(goes_on, trained, *test_images).gradients


@pytest.mark.parametrize("name", ["fgsm", "pgd", "cleverhans_pgd", "cleverhans_mim"])
def test_batch_size_changes_no_verdict_on_a_trained_network(name, trained, test_images):
    attack = create("attacks", name)
    images, labels = (part[:24] for part in test_images)
    first, *others = (
        verdicts(attack, trained, images, labels, batch_size=size) for size in (1, 7, 24)
    )
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "cleverhans_bim"])
def test_order_changes_no_verdict_of_an_attack_without_random_start(name, trained, test_images):
    plain = {"pgd": {"random_start": False}}
    attack = create("attacks", name, **plain.get(name, {}))
    images, labels = test_images
    order = np.random.default_rng(0).permutation(len(labels))
    there = verdicts(attack, trained, images[order], labels[order], batch_size=16)
    assert np.array_equal(there, verdicts(attack, trained, images, labels, batch_size=16)[order])


@pytest.mark.parametrize(
    ("name", "norm"), each_once(["fgsm", "pgd", "cleverhans_pgd"], ["linf", "l2"])
)
def test_more_budget_never_means_more_accuracy_on_a_linear_classifier(name, norm):
    classifier = LinearClassifier(num_classes=2)
    images, labels = grey_images(classifier, 20)
    budgets = [0.0, 0.001, 0.01, 0.03, 0.1] if norm == "linf" else [0.0, 0.01, 0.05, 0.2, 1.0]
    broken = [
        verdicts(create("attacks", name, eps=eps, norm=norm), classifier, images, labels).sum()
        for eps in budgets
    ]
    assert broken == sorted(broken)
    assert (broken[0], broken[-1]) == (0, 20)


def test_more_budget_never_means_more_accuracy_under_pgd_on_a_trained_network(trained, test_images):
    broken = [
        verdicts(create("attacks", "pgd", eps=eps, steps=20), trained, *test_images).sum()
        for eps in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4)
    ]
    assert broken == sorted(broken)


def test_the_keyword_arguments_of_run_attack_are_the_settings():
    assert typed_options(RunOptions) == typed_options(RunSettings)


def test_restarts_never_weaken(trained, test_images):
    attack = create("attacks", "pgd", eps=0.08, steps=4)
    once = verdicts(attack, trained, *test_images)
    often = verdicts(dataclasses.replace(attack, restarts=5), trained, *test_images)
    assert not (once & ~often).any()
    assert often.sum() >= once.sum()


class Scaled(Wrapped):
    """The classifier with logits a thousand times as large."""

    def __call__(self, images):
        return 1000.0 * super().__call__(images)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_a_saturated_softmax_hides_nothing(name, trained, test_images):
    images, labels = test_images
    right = clean_predictions(trained, images) == labels
    images, labels = images[right], labels[right]
    sure = Scaled(trained)
    with tf.GradientTape() as tape:
        x = tf.constant(images)
        tape.watch(x)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, sure(x))
    naive = tf.reduce_max(tf.abs(tape.gradient(loss, x)), (1, 2, 3)).numpy()
    assert (naive == 0).mean() > 0.9
    attack = create("attacks", name, eps=0.15, **({"steps": 10} if name == "pgd" else {}))
    at_ease = verdicts(attack, trained, images, labels)
    assert verdicts(attack, sure, images, labels).sum() >= 0.9 * at_ease.sum() > 0


def test_a_white_box_attack_on_a_classifier_without_gradients_is_refused(linear):
    classifier, images, labels = linear
    blind = Wrapped(classifier, differentiable=False)
    with pytest.raises(UsageError, match=r"pgd needs gradients and this classifier has none"):
        run_attack(create("attacks", "pgd"), blind, images, labels)
    cheap = create("attacks", "cleverhans_spsa", nb_iter=1, spsa_samples=2)
    assert run_attack(cheap, blind, images, labels).images.shape == images.shape


@plugin
class Toy(Attack):
    """Makes one mistake, which its option names."""

    eps: float = option("radius", default=0.1, ge=0)
    fault: str = option("which", default="none")

    @property
    def threat(self):
        return Threat("none", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        if self.fault == "raises":
            raise RuntimeError("my own mistake\nand a page of details")
        if self.fault == "shape":
            return images[:, :-1]
        if self.fault == "fewer":
            return images[:1]
        return images


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("raises", "attack toy failed: RuntimeError: "),
        (
            "shape",
            r"attack toy broke its contract: expected images float32 \(11, 6, 5, 2\); received",
        ),
        ("fewer", r"received: float32 \(1, 6, 5, 2\)"),
    ],
)
def test_an_attack_that_raises_or_returns_the_wrong_shape_is_named(fault, complaint, linear):
    with pytest.raises(PluginError, match=complaint) as refusal:
        run_attack(Toy(fault=fault), *linear)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 1


def test_progress_is_reported_after_every_batch(linear):
    counts = []
    run_attack(Toy(), *linear, batch_size=4, on_progress=counts.append)
    assert counts == [4, 8, 11]


def test_a_batch_size_below_one_is_refused(linear):
    with pytest.raises(UsageError, match=r"batch_size: expected 1 or more; received: 0"):
        run_attack(Toy(), *linear, batch_size=0)


def test_predict_gives_the_classifiers_logits_whatever_the_batch_size(linear):
    classifier, images, _ = linear
    expected = classifier(images).numpy()
    for batch_size in (1, 4, 100):
        assert np.allclose(predict(classifier, images, batch_size), expected, atol=1e-6)
