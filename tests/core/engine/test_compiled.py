"""All budgets of an attack share one trace, and each has the results of a trace of its own."""

import dataclasses
import functools
import logging

import numpy as np
import pytest
import tensorflow as tf

from helpers.support import small_classifier
from tfrobust.attack import Attack, RegionalAttack, Threat
from tfrobust.classifier import Classifier, Wrapped
from tfrobust.engine import compiled as compiling
from tfrobust.engine.run import run_attack
from tfrobust.errors import PluginError
from tfrobust.evaluation.curves.sweeps import at_budgets
from tfrobust.options import derived, option, plugin, with_values
from tfrobust.registry import create
from tfrobust.testing import LinearClassifier, grey_images, some_boxes
from tfrobust.types import RegionName

BUDGETS = (0.05, 0.0, 0.21)

slow = functools.partial(pytest.param, marks=pytest.mark.slow)


class TraceCounting(Wrapped):
    """Counts how often Python calls it; an attack that has a trace does not call it."""

    calls = 0

    def __call__(self, images):
        self.calls += 1
        return super().__call__(images)


@plugin
class Scaled(Attack):
    """Moves every pixel by a share of the budget, which Python computes."""

    eps: float = option("radius", default=0.1, ge=0, trace="input")
    turns: int = option("how often", default=1, ge=1, trace="input")
    most: float | None = option("at most so far", default=None, ge=0, trace="input")
    judged: float | None = option("not read by the attack", default=None, trace="unused")
    fault: str = option("which", default="none")

    @derived
    def share(self):
        return 0.7 * self.eps

    @property
    def threat(self):
        return Threat("none", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        classifier(images)
        if self.fault == "if" and self.eps > 0:
            return images
        moved = tf.cast(self.turns, tf.float32) * self.share
        if self.most is not None:
            moved = tf.minimum(moved, self.most)
        return tf.clip_by_value(images + moved, 0.0, 1.0)


@plugin
class PlainPython(Attack):
    """A third-party attack in which Python decides by the budget."""

    eps: float = option("radius", default=0.1, ge=0)
    steps: int = option("how many", default=2, ge=1)

    @property
    def threat(self):
        return Threat("none", "linf")

    def __call__(self, classifier, images, labels, *, seed):
        classifier(images)
        if self.eps == 0:
            return images
        for _ in range(self.steps):
            images += min(self.eps, 0.5) / self.steps
        return tf.clip_by_value(images, 0.0, 1.0)


@plugin
class Whiten(RegionalAttack):
    """Makes every pixel white that may change."""

    @property
    def threat(self):
        return Threat("none", None)

    def __call__(self, classifier, images, labels, *, seed):
        classifier(images)
        return tf.ones_like(images)


@plugin
class Peeking(Whiten):
    """A plugin that was written before regions shared a trace."""

    how: str = option("how it looks at its region", default="==")

    def __call__(self, classifier, images, labels, *, seed):
        looks = {
            "==": lambda: self.region == "foreground",
            "is": lambda: self.region is None,
            "replace": lambda: dataclasses.replace(self, how="not"),
            "boxes": lambda: self.needs_boxes,
            "not": lambda: None,
        }
        looks[self.how]()
        return super().__call__(classifier, images, labels, seed=seed)


@plugin
class Declaring(Peeking):
    """The same, with its region as a constant of the trace."""

    region: RegionName = option("pixels that may change", default="all", trace="constant")


@plugin
class Eager(Scaled):
    """The same in NumPy, outside of any graph."""

    eager = True

    def __call__(self, classifier, images, labels, *, seed):
        return np.clip(np.asarray(images) + np.float32(self.eps), 0.0, 1.0)


@pytest.fixture
def counting():
    """A classifier that counts the traces it is in, images and labels."""
    classifier = TraceCounting(LinearClassifier((4, 4, 1), 3))
    return (classifier, *grey_images(classifier, 5))


def were_traced(attacks, classifier, images, labels, **how):
    """Run attacks one after the other; return for each whether it is traced."""
    traced = []
    for attack in attacks:
        before = classifier.calls
        run_attack(attack, classifier, images, labels, **how)
        traced.append(classifier.calls > before)
    return traced


def budgets(name, radii=BUDGETS, **options):
    return at_budgets([create("attacks", name, **options)], radii)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fgsm", {}),
        ("spsa", {"steps": 2, "samples_per_step": 2}),
        ("reverse_ifgsm", {"steps": 2}),
        ("cleverhans_fgsm", {}),
        ("fmn", {"steps": 2}),  # a minimum-norm attack is only judged at its budget
        ("cw_l2", {"steps": 2}),
        ("salt_and_pepper", {"steps": 2}),
    ],
)
def test_a_curve_of_budgets_is_traced_once(name, options, counting):
    assert were_traced(budgets(name, **options), *counting) == [True, False, False]


def test_only_options_that_shape_the_graph_cost_a_trace(counting):
    attacks = [
        Scaled(),
        Scaled(eps=0.2, turns=3, judged=0.5),
        Scaled(most=0.3),
        Scaled(most=0.1, eps=0.4),
        Scaled(fault="other"),
        Scaled(),
    ]
    assert were_traced(attacks, *counting) == [True, False, True, False, True, False]


def test_an_optional_budget_costs_one_more_trace_where_the_attack_reads_it(counting):
    for name, traced in (("fab", True), ("deepfool", False)):
        attacks = [create("attacks", name, steps=2, eps=eps) for eps in (None, 0.1, 0.2, None)]
        assert were_traced(attacks, *counting) == [True, traced, False, False]


def test_the_regions_share_a_trace_and_each_keeps_to_its_own_pixels(counting):
    boxes = some_boxes(len(counting[1]))
    inside, outside = (Whiten(region=region) for region in ("foreground", "background"))
    assert were_traced([inside, outside], *counting, boxes=boxes) == [True, False]
    assert were_traced([Whiten()], *counting) == [True]
    white = [run_attack(attack, *counting, boxes=boxes).images == 1 for attack in (inside, outside)]
    assert (white[0] ^ white[1]).all()
    assert white[0].any()
    assert not white[0].all()


@pytest.mark.parametrize("how", ["==", "is", "replace", "boxes"])
def test_an_option_that_is_declared_unused_cannot_be_read_in_a_trace(how, counting):
    boxes = some_boxes(len(counting[1]))
    message = r"^attack peeking failed: .*option region is read .* declare it with trace=.constant"
    with pytest.raises(PluginError, match=message) as raised:
        run_attack(Peeking(how=how, region="foreground"), *counting, boxes=boxes)
    assert "\n" not in str(raised.value)


def test_an_attack_that_declares_that_it_reads_its_region_is_traced_for_each_region(counting):
    boxes, regions = some_boxes(len(counting[1])), ("foreground", "background")
    shared = [Peeking(how="not", region=region) for region in regions]
    own = [Declaring(region=region) for region in regions]
    assert were_traced(shared, *counting, boxes=boxes) == [True, False]
    assert were_traced(own, *counting, boxes=boxes) == [True, True]


def test_an_eager_attack_may_read_every_option(counting):
    @plugin
    class EagerPeeking(Peeking):
        eager = True

    boxes = some_boxes(len(counting[1]))
    crafted = run_attack(EagerPeeking(region="foreground"), *counting, boxes=boxes)
    assert (crafted.images == 1).any()


def test_an_attack_that_computes_with_its_budget_in_python_is_traced_at_each(counting):
    attacks = [PlainPython(eps=eps) for eps in BUDGETS]
    assert were_traced(attacks, *counting) == [True, True, True]
    _, images, _ = counting
    for attack in attacks:
        moved = run_attack(attack, *counting).images
        assert np.allclose(moved, np.clip(images + attack.eps, 0, 1), atol=1e-6)


def test_an_attack_without_a_graph_gets_numbers(counting):
    _, images, _ = counting
    for eps in BUDGETS:
        moved = run_attack(Eager(eps=eps), *counting).images
        assert np.array_equal(moved, np.clip(images + np.float32(eps), 0, 1))


def test_a_python_condition_on_an_input_of_the_trace_is_explained(counting):
    with pytest.raises(PluginError, match=r"scaled failed: Python's if.*`trace=\"input\"`"):
        run_attack(Scaled(fault="if"), *counting)


def test_a_derived_number_is_rounded_once(counting):
    _, images, _ = counting
    eps = 0.3
    assert np.float32(0.7 * eps) != np.float32(0.7) * np.float32(eps)
    moved = run_attack(Scaled(eps=eps), *counting).images
    assert np.array_equal(moved, np.clip(images + np.float32(0.7 * eps), 0, 1))


def test_a_copy_with_other_values_leaves_the_attack_and_its_options_alone():
    attack = Scaled(eps=0.3)
    other = with_values(attack, {"eps": 7, "share": 5})
    assert (other.eps, other.share, attack.eps, attack.share) == (7, 5, 0.3, 0.7 * 0.3)
    assert with_values(attack, {}) is attack


def crafted_as_constants(monkeypatch, attack, *case, **how):
    """Run an attack whose options are all constants of its trace."""
    with monkeypatch.context() as patch:
        patch.setattr(compiling, "trace_roles", lambda _: {})
        patch.setattr(compiling, "derived_names", lambda _: [])
        return run_attack(attack, *case, **how)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pgd", {"steps": 6}),
        ("pgd", {"steps": 6, "norm": "l2", "region": "foreground"}),
        slow("mim", {"steps": 4, "norm": "l1", "step_size": 0.013, "targeted": True}),
        slow("apgd_ce", {"steps": 7, "norm": "l1"}),
        slow("fab", {"steps": 6, "early_stop": True, "restarts": 2}),
        ("square", {"queries": 30, "norm": "l2"}),
    ],
)
def test_budgets_share_a_trace_and_have_the_results_of_separate_traces(name, options, monkeypatch):
    classifier = TraceCounting(small_classifier())
    images, labels = grey_images(classifier, 5)
    boxes = some_boxes(len(images)) if "region" in options else None
    how = {"batch_size": 3, "boxes": boxes}
    nothing, attack = budgets(name, (0.0, 0.05), **options)
    unmoved, expected = run_attack(nothing, classifier, images, labels, **how).images, images
    if nothing.minimum_norm:
        own = crafted_as_constants(monkeypatch, nothing, classifier, images, labels, **how)
        expected = own.images
    assert np.array_equal(unmoved, expected)
    calls = classifier.calls
    shared = run_attack(attack, classifier, images, labels, **how)
    assert classifier.calls == calls
    own = crafted_as_constants(monkeypatch, attack, classifier, images, labels, **how)
    assert classifier.calls > calls
    assert np.array_equal(shared.images, own.images)
    assert (shared.gradients, shared.queries) == (own.gradients, own.queries)
    assert not np.array_equal(shared.images, images)


class Switched(Classifier):
    """Linear, with weights that can be exchanged."""

    def __init__(self, weights):
        super().__init__(image_shape=(2, 2, 1), num_classes=2)
        self.weights = tf.Variable(weights, dtype=tf.float32)
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        return tf.reshape(images, (-1, 4)) @ self.weights


def test_a_trace_follows_a_classifier_whose_weights_are_exchanged():
    one, other = np.float32([[1, 0]] * 4), np.float32([[0, 1]] * 4)
    classifier = Switched(one)
    images, labels = np.full((2, 2, 2, 1), 0.5, np.float32), np.zeros(2, np.int64)
    attack = create("attacks", "fgsm", eps=0.25)
    darker = run_attack(attack, classifier, images, labels).images
    calls = classifier.calls
    classifier.weights.assign(other)
    brighter = run_attack(attack, classifier, images, labels).images
    assert (darker == 0.25).all()
    assert (brighter == 0.75).all()
    assert classifier.calls == calls


def test_several_attacks_draw_no_warning_of_tensorflow_about_retracing(caplog):
    classifier = LinearClassifier((2, 2, 1), 2)
    images, labels = np.zeros((2, 2, 2, 1), np.float32), np.zeros(2, np.int64)
    caplog.set_level(logging.WARNING, logger="tensorflow")
    tensorflow = logging.getLogger("tensorflow")
    tensorflow.addHandler(caplog.handler)
    try:
        for loss in ("ce", "margin"):
            for norm in ("linf", "l2", "l1"):
                attack = create("attacks", "pgd", loss=loss, norm=norm, steps=1)
                for _ in range(2):
                    run_attack(attack, classifier, images, labels)
    finally:
        tensorflow.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text
